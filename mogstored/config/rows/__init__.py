"""The rows of the table of settings, where they are many of a kind."""
