"""The parts of a pool, each by itself."""
