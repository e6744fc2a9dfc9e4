"""Odds at an event's end as JSON text, and views with one row for each outcome of a change."""

import zlib
from typing import Final

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_AT_ONCE: Final = 100  # ends of events; each may unpack to megabytes

_KINDS: Final = "added prices suspended resumed removed event_added event_updated event_ended"


def upgrade() -> None:
    postgres = op.get_bind().dialect.name == "postgresql"
    _unpack(postgres)
    # Names and start of an event as of a revision, and changes of sources; few rows are of these.
    not_of_markets = sa.text("kind >= 6")
    op.create_index(
        "odds_history_others",
        "odds_history",
        ["event_id", "revision"],
        postgresql_where=not_of_markets,
        sqlite_where=not_of_markets,
    )
    op.execute(_PRICES_POSTGRES if postgres else _PRICES_SQLITE)
    op.execute(_OUTAGES_POSTGRES if postgres else _OUTAGES_SQLITE)


def _unpack(postgres: bool) -> None:
    """Replace the compressed odds at ends of events by their text.

    SQLite stores a text in a column of any type, and would copy the whole table for another one.
    """
    into = "ended"
    if postgres:
        into = "ended_text"
        op.add_column("odds_history", sa.Column(into, sa.Text()))
    connection = op.get_bind()
    read = sa.text(
        "SELECT revision, detected_at, ended FROM odds_history WHERE ended IS NOT NULL "
        "AND revision > :after ORDER BY revision LIMIT :most"
    ).columns(ended=sa.LargeBinary())
    put = sa.text(  # the time leads to the partition
        f"UPDATE odds_history SET {into} = :ended "  # noqa: S608  # our names
        "WHERE revision = :revision AND detected_at = :detected_at"
    )
    after = 0
    while rows := connection.execute(read, {"after": after, "most": _AT_ONCE}).all():
        after = rows[-1].revision
        values = [
            {**row._mapping, "ended": zlib.decompress(bytes(row.ended)).decode()} for row in rows
        ]
        connection.execute(put, values)
    if postgres:
        op.drop_column("odds_history", "ended")
        op.alter_column("odds_history", into, new_column_name="ended")


def _named(column: str, names: str, first: int) -> str:
    """Return an expression for the name of a number."""
    cases = " ".join(f"WHEN {n} THEN '{name}'" for n, name in enumerate(names.split(), first))
    return f"CASE {column} {cases} END"


_STATUS: Final = "open suspended removed"
_STATES: Final = "up stale down"

# SQLite has no type for times: views show them as text in ISO 8601 with microseconds, in UTC.


def _moment(column: str) -> str:
    """Return SQLite's expression for a stored time as text."""
    whole = f"strftime('%Y-%m-%dT%H:%M:%S', {column} / 1000000, 'unixepoch')"
    return f"{whole} || printf('.%06dZ', {column} % 1000000)"


def _fraction(text: str) -> str:
    return f"CASE WHEN substr({text}, 20, 1) = '.' THEN substr({text}, 21, 6) ELSE '000000' END"


def _told_moment(text: str) -> str:
    """Return SQLite's expression for a time in JSON as text."""
    return f"strftime('%Y-%m-%dT%H:%M:%S', {text}) || '.' || {_fraction(text)} || 'Z'"


def _zoned(text: str) -> str:
    """Return SQLite's condition of a time with a zone; others are not known to be of UTC."""
    return f"({text} LIKE '%Z' OR {text} GLOB '*[-+][0-9][0-9]:[0-9][0-9]')"


_START: Final = "json_extract(d.event, '$.start_time')"
_CLAIMED: Final = "json_extract(d.after, '$[2]')"

_PRICES_SQLITE: Final = f"""
CREATE VIEW odds_prices AS
WITH markets AS (
  SELECT revision, detected_at, observed_at, kind, reason, event_id, source, bookmaker, market,
    line, participant, other_line, snapshot_id, before, after
  FROM odds_history WHERE kind BETWEEN 1 AND 5
  UNION ALL
  SELECT h.revision, h.detected_at, h.observed_at, h.kind, h.reason, h.event_id,
    json_extract(b.value, '$[1]'), json_extract(b.value, '$[2]'), json_extract(m.value, '$[0]'),
    json_extract(m.value, '$[1]'), json_extract(m.value, '$[2]'), NULL,
    json_extract(b.value, '$[0]'), json_extract(m.value, '$[3]'), '[3,[]]'
  FROM odds_history h, json_each(h.ended) b, json_each(b.value, '$[6]') m WHERE h.kind = 8
), outcomes AS (
  SELECT markets.*, a.value AS new, b.value AS old
  FROM markets JOIN json_each(markets.after, '$[1]') a
  LEFT JOIN json_each(markets.before, '$[1]') b
    ON json_extract(b.value, '$[0]') = json_extract(a.value, '$[0]')
  UNION ALL
  SELECT markets.*, NULL, b.value
  FROM markets JOIN json_each(markets.before, '$[1]') b
  WHERE NOT EXISTS (
    SELECT 1 FROM json_each(markets.after, '$[1]') a
    WHERE json_extract(a.value, '$[0]') = json_extract(b.value, '$[0]'))
), described AS (
  SELECT o.*, CASE WHEN e.revision IS NOT NULL THEN e.after WHEN f.revision IS NOT NULL
    THEN f.before ELSE g.event END AS event
  FROM outcomes o
  LEFT JOIN odds_history e ON e.revision = (
    SELECT max(x.revision) FROM odds_history x WHERE x.event_id = o.event_id
    AND x.kind >= 6 AND x.kind <= 8 AND x.revision <= o.revision)
  LEFT JOIN odds_history f ON e.revision IS NULL AND f.revision = (
    SELECT min(x.revision) FROM odds_history x WHERE x.event_id = o.event_id
    AND x.kind >= 6 AND x.kind <= 8 AND x.revision > o.revision)
  LEFT JOIN events g ON e.revision IS NULL AND f.revision IS NULL AND g.event_id = o.event_id
)
SELECT d.revision AS revision,
  {_moment("d.observed_at")} AS observed_at,
  {_moment("d.detected_at")} AS detected_at,
  CASE WHEN {_zoned(_CLAIMED)}
    THEN {_told_moment(_CLAIMED)} END AS source_updated_at,
  {_named("d.kind", _KINDS, 1)} AS kind,
  nullif(d.reason, '') AS reason,
  d.event_id AS event_id,
  json_extract(d.event, '$.sport') AS sport,
  json_extract(d.event, '$.competition') AS competition,
  nullif(json_extract(d.event, '$.home'), '') AS home,
  nullif(json_extract(d.event, '$.away'), '') AS away,
  nullif(json_extract(d.event, '$.title'), '') AS title,
  {_told_moment(_START)} AS start_time,
  (CAST(strftime('%s', {_START}) AS INTEGER) * 1000000 + CAST({_fraction(_START)} AS INTEGER)
    - d.observed_at) / 1000000.0 AS seconds_to_start,
  d.source AS source,
  d.bookmaker AS bookmaker,
  d.market AS market,
  CAST(nullif(d.line, '') AS REAL) AS line,
  nullif(d.participant, '') AS participant,
  json_extract(coalesce(d.new, d.old), '$[0]') AS outcome,
  json_extract(coalesce(d.new, d.old), '$[1]') AS outcome_name,
  CAST(json_extract(d.old, '$[2]') AS REAL) AS price_before,
  CAST(json_extract(d.new, '$[2]') AS REAL) AS price_after,
  json_extract(d.old, '$[3]') AS active_before,
  json_extract(d.new, '$[3]') AS active_after,
  {_named("json_extract(d.before, '$[0]')", _STATUS, 1)} AS status_before,
  {_named("json_extract(d.after, '$[0]')", _STATUS, 1)} AS status_after,
  CAST(nullif(d.other_line, '') AS REAL) AS other_line,
  nullif(d.snapshot_id, 0) AS snapshot_id
FROM described d
UNION ALL
SELECT revision, NULL, {_moment("detected_at")}, NULL, 'unstored', {", ".join(["NULL"] * 24)}
FROM odds_history WHERE kind = 0
"""  # noqa: S608  # our names

_SUCCESS: Final = "json_extract(after, '$.last_success_at')"

_OUTAGES_SQLITE: Final = f"""
CREATE VIEW source_outages AS
SELECT revision,
  {_moment("observed_at")} AS observed_at,
  {_moment("detected_at")} AS detected_at,
  source,
  {_named("json_extract(before, '$.announced')", _STATES, 1)} AS status_before,
  {_named("kind", _STATES, 9)} AS status_after,
  nullif(json_extract(after, '$.reason'), '') AS reason,
  nullif(json_extract(after, '$.detail'), '') AS detail,
  json_extract(after, '$.consecutive_failures') AS failures,
  {_told_moment(_SUCCESS)} AS last_success_at
FROM odds_history WHERE event_id = '' AND kind >= 6 AND kind <= 11
"""  # noqa: S608  # our names


def _as_utc(text: str) -> str:
    """Return PostgreSQL's expression for a time in JSON; older versions left out the zone."""
    zone = f"CASE WHEN {text} ~ '(Z|[-+][0-9]{{2}}:[0-9]{{2}})$' THEN '' ELSE 'Z' END"
    return f"({text} || {zone})::timestamptz"


_PRICES_POSTGRES: Final = f"""
CREATE VIEW odds_prices AS
WITH markets AS (
  SELECT revision, detected_at, observed_at, kind, reason, event_id, source, bookmaker, market,
    line, participant, other_line, snapshot_id, before::jsonb AS before, after::jsonb AS after
  FROM odds_history WHERE kind BETWEEN 1 AND 5
  UNION ALL
  SELECT h.revision, h.detected_at, h.observed_at, h.kind, h.reason, h.event_id,
    b.value->>1, b.value->>2, m.value->>0, m.value->>1, m.value->>2, NULL,
    (b.value->>0)::bigint, m.value->3, '[3,[]]'::jsonb
  FROM odds_history h, jsonb_array_elements(h.ended::jsonb) b,
    jsonb_array_elements(b.value->6) m WHERE h.kind = 8
), described AS (
  SELECT m.*, o.new, o.old, coalesce(e.after, f.before, g.event)::jsonb AS event
  FROM markets m
  CROSS JOIN LATERAL (
    SELECT a.value AS new, b.value AS old
    FROM jsonb_array_elements(m.after->1) a
    FULL JOIN jsonb_array_elements(m.before->1) b ON a.value->>0 = b.value->>0
  ) o
  LEFT JOIN LATERAL (
    SELECT x.after FROM odds_history x WHERE x.event_id = m.event_id
    AND x.kind >= 6 AND x.kind <= 8 AND x.revision <= m.revision AND x.detected_at <= m.detected_at
    ORDER BY x.revision DESC LIMIT 1
  ) e ON true
  LEFT JOIN LATERAL (
    SELECT x.before FROM odds_history x WHERE e.after IS NULL AND x.event_id = m.event_id
    AND x.kind >= 6 AND x.kind <= 8 AND x.revision > m.revision AND x.detected_at >= m.detected_at
    ORDER BY x.revision LIMIT 1
  ) f ON true
  LEFT JOIN events g ON e.after IS NULL AND f.before IS NULL AND g.event_id = m.event_id
)
SELECT d.revision,
  d.observed_at,
  d.detected_at,
  CASE WHEN d.after->>2 ~ '(Z|[-+][0-9]{{2}}:[0-9]{{2}})$' THEN (d.after->>2)::timestamptz END
    AS source_updated_at,
  {_named("d.kind", _KINDS, 1)} AS kind,
  nullif(d.reason, '') AS reason,
  d.event_id,
  d.event->>'sport' AS sport,
  d.event->>'competition' AS competition,
  nullif(d.event->>'home', '') AS home,
  nullif(d.event->>'away', '') AS away,
  nullif(d.event->>'title', '') AS title,
  {_as_utc("(d.event->>'start_time')")} AS start_time,
  extract(epoch FROM {_as_utc("(d.event->>'start_time')")} - d.observed_at)::float8
    AS seconds_to_start,
  d.source,
  d.bookmaker,
  d.market,
  nullif(d.line, '')::float8 AS line,
  nullif(d.participant, '') AS participant,
  coalesce(d.new, d.old)->>0 AS outcome,
  coalesce(d.new, d.old)->>1 AS outcome_name,
  (d.old->>2)::float8 AS price_before,
  (d.new->>2)::float8 AS price_after,
  (d.old->>3)::boolean AS active_before,
  (d.new->>3)::boolean AS active_after,
  {_named("(d.before->>0)::int", _STATUS, 1)} AS status_before,
  {_named("(d.after->>0)::int", _STATUS, 1)} AS status_after,
  nullif(d.other_line, '')::float8 AS other_line,
  nullif(d.snapshot_id, 0) AS snapshot_id
FROM described d
UNION ALL
SELECT revision, NULL, detected_at, NULL, 'unstored', {", ".join(["NULL"] * 24)}
FROM odds_history WHERE kind = 0
"""  # noqa: S608  # our names

_OUTAGES_POSTGRES: Final = f"""
CREATE VIEW source_outages AS
SELECT revision, observed_at, detected_at, source,
  {_named("(before::jsonb->>'announced')::int", _STATES, 1)} AS status_before,
  {_named("kind", _STATES, 9)} AS status_after,
  nullif(after::jsonb->>'reason', '') AS reason,
  nullif(after::jsonb->>'detail', '') AS detail,
  (after::jsonb->>'consecutive_failures')::bigint AS failures,
  {_as_utc("(after::jsonb->>'last_success_at')")} AS last_success_at
FROM odds_history WHERE event_id = '' AND kind >= 6 AND kind <= 11
"""  # noqa: S608  # our names
