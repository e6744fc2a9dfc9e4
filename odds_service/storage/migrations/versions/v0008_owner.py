"""The time until which the owner promised to live."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    postgres = op.get_bind().dialect.name == "postgresql"
    op.create_table(
        "feed_owner",
        sa.Column("one", sa.Integer(), primary_key=True),
        sa.Column("owner_until", sa.DateTime(timezone=True) if postgres else sa.BigInteger()),
        sa.Column("node", sa.Text(), nullable=False),
        sa.CheckConstraint("one = 1"),
    )
    op.execute("INSERT INTO feed_owner (one, node) VALUES (1, '')")
