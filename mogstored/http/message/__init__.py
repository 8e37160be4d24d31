"""HTTP messages, bytes to values and back: no sockets, no files."""
