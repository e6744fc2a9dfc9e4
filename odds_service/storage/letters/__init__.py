"""Changes missing from the history: refused, spilled or retried."""
