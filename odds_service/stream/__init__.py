"""A subscription to the log, as a state machine without an event loop or a wire format."""
