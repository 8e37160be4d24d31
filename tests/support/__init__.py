"""What several tests share: the node as a process, a raw HTTP client, sockets, conditions."""
