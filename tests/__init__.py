"""Tests of mogpoll and mogstored, run against what is installed."""
