"""Mutation testing: small faults in the sources, and the tests that notice them."""
