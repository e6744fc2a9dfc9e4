"""Migrations of the schema, in the order of their versions; run by alembic."""
