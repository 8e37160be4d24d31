"""Scenario: what one bad disk does to requests for the good ones, beside the peers."""
