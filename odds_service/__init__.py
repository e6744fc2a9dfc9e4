"""The latest odds of every bookmaker, every change as it happens, and their history, over gRPC."""

__version__ = "0.2.0"
