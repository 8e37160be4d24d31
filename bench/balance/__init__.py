"""Scenario: how evenly processes share connections, and what many queues cost in latency."""
