"""Tests of vm/: its data, its bad days, and the programs that it drives, played by fakes."""
