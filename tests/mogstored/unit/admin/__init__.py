"""Tests of `mogstored/admin`."""
