"""Live upgrade: starting the next program, and the sockets it inherits."""
