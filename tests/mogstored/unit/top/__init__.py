"""Tests of the parts of `mogstored top`."""
