"""The real node as a process, talked to over loopback."""
