"""Where odds are fetched: one module a provider, found by entry point."""
