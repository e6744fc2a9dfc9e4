"""How the tables came to be what they are; read by alembic, in the order of their versions."""
