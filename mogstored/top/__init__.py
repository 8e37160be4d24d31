"""`mogstored top`: a live view of many nodes, for a terminal and for pipes.

It is a client: nodes are asked over the network, and nothing of the server is imported.
"""
