"""Tests of `mogpoll.pool`."""
