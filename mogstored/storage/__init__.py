"""What lies below the docroot: devices, files, checksums."""
