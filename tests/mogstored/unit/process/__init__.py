"""The parts of mogstored.process that can be had without a node."""
