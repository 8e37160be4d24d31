"""Lines, commands and sessions of the sidechannel."""
