"""A small HTTP/1.1 server on Trio, for metrics and for the demo's bookmakers."""
