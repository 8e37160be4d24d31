"""The parts of mogstored.process that need no running node."""
