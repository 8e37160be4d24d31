"""Proofs of what stays on the disk: power cuts, kills, disks that fail."""
