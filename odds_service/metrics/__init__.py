"""Prometheus metrics: read from the parts when somebody asks, so that nothing is counted twice."""
