"""The processes of a node: starting, leading, stopping and upgrading them."""
