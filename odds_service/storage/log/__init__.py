"""The log of changes: written and read back."""
