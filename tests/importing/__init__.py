"""Tests of importing: recorded bodies in a database, with the times of the recording."""
