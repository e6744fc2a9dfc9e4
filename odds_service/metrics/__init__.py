"""Prometheus metrics, read from the parts at each scrape, so that nothing is counted twice."""
