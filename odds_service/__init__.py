"""The latest odds of every bookmaker, every change as it happens, and their history, over gRPC."""

from typing import Final

__version__: Final = "0.1.0"
