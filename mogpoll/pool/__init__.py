"""Threads that share one poller: their loop, how many run, and what they step."""
