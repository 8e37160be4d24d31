"""The examples work, on each backend, as their first lines say."""
