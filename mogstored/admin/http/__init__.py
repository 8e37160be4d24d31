"""HTTP of the admin listeners: few connections, short requests, answers made in memory."""
