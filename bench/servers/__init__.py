"""The servers that are measured, the files on them, and what the system says of them."""
