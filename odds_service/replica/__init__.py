"""A read node: it follows the log on the bus, and serves what the log holds."""
