"""The tables as SQLAlchemy describes them; the migrations create them.

Times are aware UTC. `line` and `participant` are never null ('' is none). Odds and events are
stored as compact JSON text. It can be queried with SQL, is as small as JSONB, and goes through COPY
unchanged. Columns with the same name have the same meaning in all tables.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Dialect,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    TypeDecorator,
)
from sqlalchemy.types import TypeEngine

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class NaiveTime(ValueError):
    """A time without an offset, which is ambiguous."""

    def __init__(self, value: datetime) -> None:
        super().__init__(f"naive time {value.isoformat()}: only aware times are stored")


@lru_cache(maxsize=1024)  # the changes of one capture share their times
def microseconds(value: datetime) -> int:
    """Convert a time to whole microseconds since 1970 in UTC. Raises NaiveTime."""
    if value.tzinfo is None:
        raise NaiveTime(value)
    return (value - _EPOCH) // _MICROSECOND


def from_microseconds(value: int) -> datetime:
    """Convert whole microseconds since 1970 to a time in UTC."""
    return _EPOCH + timedelta(microseconds=value)


class UtcTime(TypeDecorator[datetime]):
    """The column type of an aware time; naive ones are rejected.

    It is TIMESTAMPTZ on PostgreSQL. On SQLite it is microseconds since 1970, which sort correctly
    and take 8 bytes.
    """

    impl = BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(DateTime(timezone=True))
        return dialect.type_descriptor(BigInteger())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        if dialect.name != "postgresql":
            return microseconds(value)
        if value.tzinfo is None:
            raise NaiveTime(value)
        return value

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        if value is None or dialect.name == "postgresql":
            return value
        return from_microseconds(value)


metadata = MetaData()

# The views that the migrations create; docs/history-schema.md describes them.
VIEWS: Final = ("odds_prices", "source_outages")

feed_state = Table(
    "feed_state",
    metadata,
    Column("one", Integer, primary_key=True),
    Column("database_id", Text, nullable=False),
    Column("epoch", Text, nullable=False),
    # Up to this revision, every change or its placeholder is in odds_history.
    Column("durable_revision", BigInteger, nullable=False),
    # Up to this revision, changes were deleted from odds_history because of their age.
    Column("floor_revision", BigInteger, nullable=False),
    Column("floor_at", UtcTime),  # time of detection of the floor, or slightly later
    Column("detected_at", UtcTime),
)

# Beside feed_state: a writer's transaction locks the row there for seconds.
feed_owner = Table(
    "feed_owner",
    metadata,
    Column("one", Integer, primary_key=True),
    # A standby ends the owner's session if this has been past for long; null: never.
    Column("owner_until", UtcTime),
    Column("node", Text, nullable=False),  # the owner's machine and process, for people
)

epochs = Table(
    "epochs",
    metadata,
    Column("place", Integer, primary_key=True),
    Column("epoch", Text, nullable=False),
    Column("first_revision", BigInteger, nullable=False),
    Column("opened_at", UtcTime, nullable=False),
    Column("imported", SmallInteger, nullable=False),  # 1: an import opened it
)

events = Table(
    "events",
    metadata,
    Column("event_id", Text, primary_key=True),
    Column("event", Text, nullable=False),
    Column("sport", Text, nullable=False),
    Column("competition", Text, nullable=False),
    Column("start_time", UtcTime, nullable=False),
    Column("status", SmallInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
    # A row of odds_current is live if it is newer than this and not a tombstone.
    Column("ended_revision", BigInteger, nullable=False),
)

event_sources = Table(
    "event_sources",
    metadata,
    Column("event_id", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("source_event_id", Text, nullable=False),
    Column("listing", Text),
    Column("shown", Text),  # the event as the source shows it; JSON
    Column("match_score", SmallInteger, nullable=False),
    Column("match_reason", Text, nullable=False),
    Column("told", SmallInteger),  # the status that the source reports; null: none
    Column("departed_at", UtcTime),  # when the source stopped showing it; null: still shown
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
    Column("lagging", Text),  # market type -> last seen true, if not at confirmed_at
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
    Column("odds", Text, nullable=False),
    Column("changed_at", UtcTime, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("snapshot_id", BigInteger, nullable=False),
)

# The identity of a market over time; the key of odds_current.
MARKET_COLUMNS: Final = ("event_id", "source", "bookmaker", "market", "line", "participant")

# The columns are in the order of rows.history.HistoryRow.
odds_history = Table(
    "odds_history",
    metadata,
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    Column("detected_at", UtcTime, nullable=False),
    Column("kind", SmallInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("bookmaker", Text, nullable=False),
    Column("market", Text, nullable=False),
    Column("line", Text, nullable=False),
    Column("participant", Text, nullable=False),
    Column("status", SmallInteger),  # of a market after the change
    Column("snapshot_id", BigInteger),
    Column("observed_at", UtcTime, nullable=False),
    Column("before", Text),
    Column("after", Text),
    Column("other_line", Text),
    Column("ended", Text),  # odds of the bookmakers at an event's end; JSON
    Column("wall_at", UtcTime),  # the wall clock at detection; null: equal to detected_at
)

source_states = Table(
    "source_states",
    metadata,
    Column("source", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("revision", BigInteger, nullable=False),
)

scrape_runs = Table(
    "scrape_runs",
    metadata,
    Column("started_at", UtcTime, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("listing", Text, primary_key=True),
    Column("finished_at", UtcTime, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("events", Integer, nullable=False),
    Column("markets", Integer, nullable=False),
    Column("changes", Integer, nullable=False),
    Column("problems", Text, nullable=False),
)

source_asks = Table(
    "source_asks",
    metadata,
    Column("source", Text, primary_key=True),
    Column("asks", Text, nullable=False),  # the asks of the last run; JSON
)

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("letter_id", Integer, primary_key=True),
    Column("epoch", Text, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("kept_at", UtcTime, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("letter", LargeBinary, nullable=False),
    # 1: the placeholder at the revision stands for this change, and the letter can be decoded.
    Column("applies", SmallInteger, nullable=False),
    Column("subject", SmallInteger, nullable=False),  # a letters.Subject
    Column("kind", SmallInteger, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("bookmaker", Text, nullable=False),
    Column("market", Text, nullable=False),
    Column("line", Text, nullable=False),
    Column("participant", Text, nullable=False),
    Column("place", Text, nullable=False),  # digest of the six names, which an index can hold
    Column("carries", SmallInteger, nullable=False),  # number of sources that the letter carries
)

# Placeholders that no letter explains any more: the change was dropped, or its text is lost.
lost_changes = Table(
    "lost_changes",
    metadata,
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
)
