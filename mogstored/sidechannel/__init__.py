"""The sidechannel: the line protocol by which trackers ask for digests and utilization."""
