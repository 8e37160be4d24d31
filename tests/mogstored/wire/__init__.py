"""Requests as files: of known clients, and of attackers."""
