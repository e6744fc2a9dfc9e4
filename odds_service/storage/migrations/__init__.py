"""Migrations of the schema, in the order of their versions; alembic runs them."""
