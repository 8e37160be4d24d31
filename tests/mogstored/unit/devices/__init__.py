"""Tests of `mogstored/devices`."""
