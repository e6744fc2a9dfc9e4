"""What joins the sources of an event: what each shows of it, and how like the others that is."""

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
