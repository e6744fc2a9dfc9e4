"""Prometheus metrics, read from the service's components at each scrape."""
