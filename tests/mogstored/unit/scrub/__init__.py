"""Reading stored files again."""
