"""Tests of the pure parts of HTTP."""
