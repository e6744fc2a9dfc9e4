"""Reads of the stored odds: as of a time, at the start of an event, at a start of the service."""
