"""Epochs that an import opened."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    imported = sa.Column("imported", sa.SmallInteger(), nullable=False, server_default="0")
    op.add_column("epochs", imported)
