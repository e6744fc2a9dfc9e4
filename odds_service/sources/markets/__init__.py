"""The market table: the canonical names of each provider's markets and outcomes.

The `.toml` files are the table (docs/markets.md tells how to add to it). `schema` checks them,
`table` looks markets up, `matching` compares an entry with a market, `coverage` counts.
"""
