"""libkqueue as a stand-in for a BSD's kqueue on Linux, named by MOGPOLL_LIBKQUEUE."""
