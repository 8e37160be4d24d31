"""The log: its lines, their sinks, printable names, and rate limits."""
