"""Filters: what a client selects, and what enters or leaves it; knows no wire format."""
