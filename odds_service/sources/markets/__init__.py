"""The market table: what each provider's markets and outcomes are called here.

The `.toml` files are the table (docs/markets.md tells how to add to it); `schema` checks them,
`table` looks things up, `coverage` counts what was found.
"""
