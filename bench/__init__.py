"""Measurements of mogstored and mogpoll, beside peers: `python -m bench [SCENARIO...]`."""
