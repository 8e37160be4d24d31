"""Read stored files again, and compare them with the checksums beside them; change nothing."""
