"""The HTTP door: JSON, Server-Sent Events, NDJSON, the board, health and metrics."""
