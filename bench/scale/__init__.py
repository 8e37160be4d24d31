"""What a cluster asks of one node, measured, and what that makes for many, computed."""
