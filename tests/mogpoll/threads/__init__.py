"""Tests of acceptors and of the threads below them."""
