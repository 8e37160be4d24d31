"""Tests of `mogpoll.probe`."""
