"""The process around the node: signals, limits, and later its workers."""
