"""Reads of the stored odds: as of a revision, before an event's start, and at a start."""
