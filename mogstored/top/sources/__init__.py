"""What nodes say: the admin listener's status, or the sidechannel and usage files."""
