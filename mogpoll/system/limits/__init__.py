"""The limits that the system sets this process: threads, and processor time."""
