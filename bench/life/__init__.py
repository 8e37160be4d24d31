"""The life of a node in figures: how it starts, is upgraded, loses a worker, hashes, reports."""
