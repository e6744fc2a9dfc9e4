"""The log on a message bus, by which several nodes share one log of changes."""
