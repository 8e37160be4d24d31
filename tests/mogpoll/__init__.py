"""Tests of mogpoll."""
