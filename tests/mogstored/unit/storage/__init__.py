"""Devices, their usage and their utilization."""
