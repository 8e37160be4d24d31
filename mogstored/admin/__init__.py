"""Show the node: a process of its own that answers the admin listeners."""
