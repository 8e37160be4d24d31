"""Tests of `mogstored/utilization`."""
