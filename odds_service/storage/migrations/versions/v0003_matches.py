"""Matching data of an event's sources: the event as each shows it, and the match's score."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    # Unknown until the source shows the event again.
    op.add_column("event_sources", sa.Column("shown", sa.Text()))
    op.add_column(
        "event_sources",
        sa.Column("match_score", sa.SmallInteger(), nullable=False, server_default="0"),
    )
    op.add_column(
        "event_sources", sa.Column("match_reason", sa.Text(), nullable=False, server_default="")
    )
