"""Tests of `mogstored/files`."""
