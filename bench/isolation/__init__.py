"""What one bad disk does to the users of the good ones, measured beside the peers."""
