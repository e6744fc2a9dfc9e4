"""Changes that are not in the history: refused, spilled, tried again."""
