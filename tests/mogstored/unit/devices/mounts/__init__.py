"""Tests of `mogstored/devices/mounts`."""
