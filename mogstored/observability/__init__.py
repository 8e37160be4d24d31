"""What the node counts of its work, and how a process passes that on."""
