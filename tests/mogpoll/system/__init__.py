"""Tests of `mogpoll.system`."""
