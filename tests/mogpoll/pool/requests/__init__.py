"""What other threads and the clock ask of a pool."""
