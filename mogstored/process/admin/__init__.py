"""The leading process's side of the admin process: starting it, and what it has to know."""
