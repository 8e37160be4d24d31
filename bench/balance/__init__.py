"""Who gets the connections, and what a queue of one's own costs: the reason for our acceptor."""
