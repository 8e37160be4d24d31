"""The check of a disk, and `mogstored check-disks`."""
