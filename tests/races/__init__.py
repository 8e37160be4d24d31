"""Hunt for races: threads are made to wait at moments that no machine would choose."""
