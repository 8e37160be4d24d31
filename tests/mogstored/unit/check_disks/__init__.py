"""The check of disks."""
