"""The tables of current odds and their history, and the position of the log."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    postgres = op.get_bind().dialect.name == "postgresql"
    time = sa.DateTime(timezone=True) if postgres else sa.BigInteger()
    # SQLite's own row id, a key without cost.
    revision_type = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "feed_state",
        sa.Column("one", sa.Integer(), primary_key=True),
        sa.Column("database_id", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Text(), nullable=False),
        sa.Column("durable_revision", sa.BigInteger(), nullable=False),
        sa.Column("floor_revision", sa.BigInteger(), nullable=False),
        sa.Column("floor_at", time),
        sa.Column("detected_at", time),
        sa.CheckConstraint("one = 1"),
    )
    op.create_table(
        "epochs",
        sa.Column("place", sa.Integer(), primary_key=True),
        sa.Column("epoch", sa.Text(), nullable=False, unique=True),
        sa.Column("first_revision", sa.BigInteger(), nullable=False),
        sa.Column("opened_at", time, nullable=False),
    )
    op.create_table(
        "events",
        sa.Column("event_id", sa.Text(), primary_key=True),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("sport", sa.Text(), nullable=False),
        sa.Column("competition", sa.Text(), nullable=False),
        sa.Column("start_time", time, nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("ended_revision", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "event_sources",
        sa.Column("event_id", sa.Text(), primary_key=True),
        sa.Column("source", sa.Text(), primary_key=True),
        sa.Column("source_event_id", sa.Text(), nullable=False),
        sa.Column("listing", sa.Text()),
    )
    op.create_table(
        "bookmakers",
        sa.Column("bookmaker", sa.Text(), primary_key=True),
        sa.Column("first_seen_at", time, nullable=False),
    )
    op.create_table(
        "snapshots",
        sa.Column("snapshot_id", revision_type, primary_key=True, autoincrement=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("bookmaker", sa.Text(), nullable=False),
        sa.Column("observed_at", time, nullable=False),
        sa.Column("confirmed_at", time, nullable=False),
        sa.Column("source_updated_at", time),
        # Confirmations update rows in place; free space in the page avoids index updates.
        postgresql_with={"fillfactor": 80},
    )
    op.create_table(
        "odds_current",
        *(
            sa.Column(name, sa.Text(), primary_key=True)
            for name in ("event_id", "source", "bookmaker", "market", "line", "participant")
        ),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("odds", sa.Text(), nullable=False),
        sa.Column("changed_at", time, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("snapshot_id", sa.BigInteger(), nullable=False),
        postgresql_with={"fillfactor": 80},
        sqlite_with_rowid=False,
    )
    op.create_table(
        "odds_history",
        sa.Column("revision", revision_type, nullable=False, autoincrement=False),
        sa.Column("detected_at", time, nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        *(
            sa.Column(name, sa.Text(), nullable=False)
            for name in (
                "reason", "event_id", "source", "bookmaker", "market", "line", "participant",
            )
        ),
        sa.Column("status", sa.SmallInteger()),
        sa.Column("snapshot_id", sa.BigInteger()),
        sa.Column("observed_at", time, nullable=False),
        sa.Column("before", sa.Text()),
        sa.Column("after", sa.Text()),
        sa.Column("other_line", sa.Text()),
        sa.Column("ended", sa.LargeBinary()),
        # The key of a partitioned table must contain the partition key. Both grow together, so
        # they have the same order.
        sa.PrimaryKeyConstraint("revision", *(("detected_at",) if postgres else ())),
        postgresql_partition_by="RANGE (detected_at)",
    )  # fmt: skip
    # Without the revision, PostgreSQL stores each event id once instead of once per row.
    op.create_index("history_of_event", "odds_history", ["event_id"])
    op.create_index("snapshots_of_event", "snapshots", ["event_id"])
    op.create_table(
        "source_states",
        sa.Column("source", sa.Text(), primary_key=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "scrape_runs",
        sa.Column("started_at", time, primary_key=True),
        sa.Column("source", sa.Text(), primary_key=True),
        sa.Column("listing", sa.Text(), primary_key=True),
        sa.Column("finished_at", time, nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("events", sa.Integer(), nullable=False),
        sa.Column("markets", sa.Integer(), nullable=False),
        sa.Column("changes", sa.Integer(), nullable=False),
        sa.Column("problems", sa.Text(), nullable=False),
    )
