"""The clients: wrk, large downloads and uploads, idle connections, programs of our own."""
