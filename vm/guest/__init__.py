"""What runs in a machine: shell commands, wheels, and the suite."""
