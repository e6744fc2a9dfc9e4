"""The calls of the contract, which every door shares: streams, reads, limits, rights, counts."""
