"""What knows of no server: arithmetic, goals, the table, the machine, cleanup."""
