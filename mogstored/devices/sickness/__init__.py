"""Sick devices: when a disk is taken out of use, what is kept of that, and how it comes back."""
