"""The measured comparison of mogstored with its peers: `python -m bench`."""
