"""Tests of the project itself: its layers, its packaging, its documents."""
