"""The tables. Times are aware UTC; line and participant are never null ('' is none)."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    Dialect,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    TypeDecorator,
)

SCHEMA_VERSION: Final = 1
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class UtcTime(TypeDecorator[datetime]):
    """An aware time as whole microseconds since 1970 in UTC; a naive one is refused.

    Integers keep their order, take 8 bytes and mean the same on every database.
    """

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> Any:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"naive time {value!r}: only aware UTC times are stored")
        return (value - _EPOCH) // timedelta(microseconds=1)

    def process_result_value(self, value: Any | None, _dialect: Dialect) -> datetime | None:
        return None if value is None else _EPOCH + timedelta(microseconds=value)


metadata = MetaData()

feed_state = Table(
    "feed_state",
    metadata,
    Column("one", Integer, primary_key=True),
    Column("database_id", Text, nullable=False),
    Column("epoch", Text, nullable=False),
    Column("durable_revision", BigInteger, nullable=False),
    Column("detected_at", UtcTime),
)

epochs = Table(
    "epochs",
    metadata,
    Column("place", Integer, primary_key=True),
    Column("epoch", Text, nullable=False, unique=True),
    Column("first_revision", BigInteger, nullable=False),
    Column("opened_at", UtcTime, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("event_id", Text, primary_key=True),
    Column("event", LargeBinary, nullable=False),
    Column("sport", Text, nullable=False),
    Column("competition", Text, nullable=False),
    Column("start_time", UtcTime, nullable=False, index=True),
    Column("status", SmallInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
    # A row of odds_current is alive when it is no tombstone and newer than this.
    Column("ended_revision", BigInteger, nullable=False),
)

event_sources = Table(
    "event_sources",
    metadata,
    Column("event_id", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("source_event_id", Text, nullable=False),
    Column("listing", Text),
)

bookmakers = Table(
    "bookmakers",
    metadata,
    Column("bookmaker", Text, primary_key=True),
    Column("first_seen_at", UtcTime, nullable=False),
)

snapshots = Table(
    "snapshots",
    metadata,
    Column("snapshot_id", BigInteger, primary_key=True, autoincrement=False),
    Column("event_id", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("bookmaker", Text, nullable=False),
    Column("observed_at", UtcTime, nullable=False),
    Column("confirmed_at", UtcTime, nullable=False),
    Column("source_updated_at", UtcTime),
    Index("snapshots_of", "event_id", "source", "bookmaker", "snapshot_id"),
)

odds_current = Table(
    "odds_current",
    metadata,
    Column("event_id", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("bookmaker", Text, primary_key=True),
    Column("market", Text, primary_key=True),
    Column("line", Text, primary_key=True),
    Column("participant", Text, primary_key=True),
    Column("status", SmallInteger, nullable=False),
    Column("odds", LargeBinary, nullable=False),
    Column("revision", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

odds_history = Table(
    "odds_history",
    metadata,
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    Column("detected_at", UtcTime, primary_key=True),
    Column("kind", SmallInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("bookmaker", Text, nullable=False),
    Column("market", Text, nullable=False),
    Column("line", Text, nullable=False),
    Column("participant", Text, nullable=False),
    Column("snapshot_id", BigInteger),
    Column("observed_at", UtcTime, nullable=False),
    Column("before", LargeBinary),
    Column("after", LargeBinary, nullable=False),
    Column("other_line", Text),
    Column("ended", LargeBinary),
    Index("history_of", "event_id", "market", "revision"),
    sqlite_with_rowid=False,
)

source_states = Table(
    "source_states",
    metadata,
    Column("source", Text, primary_key=True),
    Column("state", LargeBinary, nullable=False),
)

scrape_runs = Table(
    "scrape_runs",
    metadata,
    Column("run_id", Integer, primary_key=True),
    Column("source", Text, nullable=False),
    Column("listing", Text, nullable=False),
    Column("started_at", UtcTime, nullable=False, index=True),
    Column("finished_at", UtcTime, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("events", Integer, nullable=False),
    Column("markets", Integer, nullable=False),
    Column("changes", Integer, nullable=False),
    Column("problems", LargeBinary, nullable=False),
)
