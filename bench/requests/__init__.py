"""Scenarios of requests: beside peers, before and after a change, growth, large files, budgets."""
