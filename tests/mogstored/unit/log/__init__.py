"""Tests of `mogstored/log`."""
