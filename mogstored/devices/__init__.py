"""Devices: their slots, their state, and how full they are."""
