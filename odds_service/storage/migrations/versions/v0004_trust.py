"""Data that a restart needs: wall-clock times of the log, asks, ghosts, reported statuses."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    postgres = op.get_bind().dialect.name == "postgresql"
    time = sa.DateTime(timezone=True) if postgres else sa.BigInteger()
    # The wall clock at detection, which differs from detected_at after a jump; null: equal.
    op.add_column("odds_history", sa.Column("wall_at", time))
    # Set in few rows: those detected while the log was ahead of the clock.
    stepped = sa.text("wall_at IS NOT NULL")
    op.create_index(
        "odds_history_wall_at",
        "odds_history",
        ["revision", "wall_at"],
        postgresql_where=stepped,
        sqlite_where=stepped,
    )
    # Market type -> last seen true, for types that the last look did not show; JSON.
    op.add_column("snapshots", sa.Column("lagging", sa.Text()))
    # The status that the source reports; null: none.
    op.add_column("event_sources", sa.Column("told", sa.SmallInteger()))
    # When the source stopped showing the event; null: still shown.
    op.add_column("event_sources", sa.Column("departed_at", time))
    # The asks of the last run; JSON.
    op.create_table(
        "source_asks",
        sa.Column("source", sa.Text(), primary_key=True),
        sa.Column("asks", sa.Text(), nullable=False),
    )
