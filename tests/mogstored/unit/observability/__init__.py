"""Counting: histograms, snapshots, counters of threads."""
