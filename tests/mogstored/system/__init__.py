"""The real node as a process, over loopback."""
