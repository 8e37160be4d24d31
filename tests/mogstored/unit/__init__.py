"""The pure parts of the node, without sockets and processes."""
