"""The log of changes: writing it and reading it back."""
