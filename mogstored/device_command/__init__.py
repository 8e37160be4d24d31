"""`mogstored device`: what a device may be used for, said on the machine that has it."""
