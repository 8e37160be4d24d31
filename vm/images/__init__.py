"""Disk images: downloaded, checked, copied, and seeded for the first boot."""
