"""Utilization of disks: where reports come from, and how they reach watchers."""
