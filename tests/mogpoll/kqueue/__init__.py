"""The kqueue backend without a BSD: on a scripted queue, and over libkqueue."""
