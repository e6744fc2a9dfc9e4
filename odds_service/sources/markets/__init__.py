"""The market table: the canonical names of each provider's markets and outcomes.

The `.toml` files hold the table; docs/markets.md explains how to extend it. `schema` validates
them, `table` looks markets up, `matching` compares an entry with a market, `coverage` counts.
"""
