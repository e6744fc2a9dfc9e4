"""What a restart has to know: wall-clock times of the log, asks, ghosts, told statuses."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    postgres = op.get_bind().dialect.name == "postgresql"
    time = sa.DateTime(timezone=True) if postgres else sa.BigInteger()
    # The wall clock at detection, which a jump may set apart from detected_at; null: equal to it.
    op.add_column("odds_history", sa.Column("wall_at", time))
    # Few rows have it: those that were detected while the log led the clock.
    stepped = sa.text("wall_at IS NOT NULL")
    op.create_index(
        "odds_history_wall_at",
        "odds_history",
        ["revision", "wall_at"],
        postgresql_where=stepped,
        sqlite_where=stepped,
    )
    # Market type -> when it was last seen true, where the last looks did not show it; JSON.
    op.add_column("snapshots", sa.Column("lagging", sa.Text()))
    # The status that the source told; null: it told none.
    op.add_column("event_sources", sa.Column("told", sa.SmallInteger()))
    # Since when the source shows the event no more; null: it shows it.
    op.add_column("event_sources", sa.Column("departed_at", time))
    # What each source was asked for by the last run; JSON.
    op.create_table(
        "source_asks",
        sa.Column("source", sa.Text(), primary_key=True),
        sa.Column("asks", sa.Text(), nullable=False),
    )
