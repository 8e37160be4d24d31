"""Listening sockets, the connections accepted from them, and closing those."""
