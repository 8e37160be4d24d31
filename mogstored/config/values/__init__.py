"""The values of options and config keys: a word in, what it means out."""
