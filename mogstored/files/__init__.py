"""Files of a docroot: paths, opening, keeping open, closing, and digests."""
