"""Stand-ins for kernel facilities that the system at hand does not have."""
