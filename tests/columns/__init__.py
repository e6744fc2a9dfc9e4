"""Tables of history as columns."""
