"""Tests of vm/: its data, its failures, and the programs that it runs, replaced by fakes."""
