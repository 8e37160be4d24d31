"""Tests of `mogstored/connections`."""
