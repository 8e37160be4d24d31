"""Scenario: the life of a node beside its requests: start, upgrade, a killed worker, watchers."""
