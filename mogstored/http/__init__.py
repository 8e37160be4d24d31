"""The storage node's HTTP interface."""
