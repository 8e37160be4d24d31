"""A file system in memory, in a process of its own, that hangs, is slow or fails on command."""
