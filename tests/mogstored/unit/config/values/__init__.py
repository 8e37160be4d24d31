"""The values of options and config keys."""
