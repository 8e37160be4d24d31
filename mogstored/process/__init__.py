"""The processes of a node: how they start, stop, replace each other and talk to the outside."""
