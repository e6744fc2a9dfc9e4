"""A subscription: what comes next for it."""
