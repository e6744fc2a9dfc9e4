"""Bookmakers to scrape without an account: a simulated one, and the replay of a recorded series.

Both are real HTTP servers that answer in the shape of The Odds API v4, so the service scrapes them
like any other source. No other part of the service depends on this package.
"""
