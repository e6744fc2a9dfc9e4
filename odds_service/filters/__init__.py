"""Filters: selections of odds, and the events that enter or leave them; no wire format."""
