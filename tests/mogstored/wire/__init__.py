"""Requests as files: what known clients send, and what attackers send."""
