"""A file system in memory that answers when the test wants it to, as a process of its own."""
