"""Dead letters by the market, event or source that they belong to, so that few are decoded."""

from hashlib import blake2b
from typing import Any

import msgspec
import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_AT_ONCE = 1_000
_NAMES = ("event_id", "source", "bookmaker", "market", "line", "participant")


def upgrade() -> None:
    number: dict[str, Any] = {"type_": sa.SmallInteger(), "server_default": "0"}
    text: dict[str, Any] = {"type_": sa.Text(), "server_default": ""}
    for names, kind in (
        (("applies", "subject", "kind", "carries"), number),
        ((*_NAMES, "place"), text),
    ):
        for name in names:
            op.add_column("dead_letters", sa.Column(name, nullable=False, **kind))
    _fill()
    op.execute(
        "UPDATE dead_letters SET subject = "
        "CASE WHEN kind <= 5 THEN 1 WHEN kind <= 8 THEN 2 ELSE 3 END"
    )
    op.execute(
        "UPDATE dead_letters SET applies = 1 WHERE length(letter) > 0 AND epoch = "
        "(SELECT epoch FROM epochs WHERE first_revision <= dead_letters.revision "
        "ORDER BY place DESC LIMIT 1) AND EXISTS (SELECT 1 FROM odds_history "
        "WHERE odds_history.revision = dead_letters.revision AND odds_history.kind = 0)"
    )
    applying = sa.text("applies = 1")
    op.create_index(
        "dead_letters_revision",
        "dead_letters",
        ["revision"],
        postgresql_where=applying,
        sqlite_where=applying,
    )
    op.create_index(
        "dead_letters_place",
        "dead_letters",
        ["subject", "event_id", "place", "revision", "kind", "carries"],
        postgresql_where=applying,
        sqlite_where=applying,
    )
    op.create_table(
        "lost_changes",
        sa.Column("revision", sa.BigInteger(), primary_key=True, autoincrement=False),
    )
    op.execute(
        "INSERT INTO lost_changes SELECT revision FROM odds_history WHERE kind = 0 AND NOT EXISTS "
        "(SELECT 1 FROM dead_letters WHERE applies = 1 "
        "AND dead_letters.revision = odds_history.revision)"
    )


def _fill() -> None:
    """Copy the places of letters out of their text."""
    connection = op.get_bind()
    assignments = ", ".join(f"{name} = :{name}" for name in ("kind", "carries", "place", *_NAMES))
    put = sa.text(f"UPDATE dead_letters SET {assignments} WHERE letter_id = :letter_id")  # noqa: S608  # our names
    after = 0
    while True:
        read = sa.text(
            "SELECT letter_id, letter FROM dead_letters WHERE letter_id > :after "
            "ORDER BY letter_id LIMIT :most"
        )
        rows = connection.execute(read, {"after": after, "most": _AT_ONCE}).all()
        if not rows:
            return
        after = rows[-1].letter_id
        values = [_place(row.letter_id, bytes(row.letter)) for row in rows if len(row.letter)]
        if values:
            connection.execute(put, values)


def _place(letter_id: int, letter: bytes) -> dict[str, Any]:
    """Return the new columns of a letter: its row has the columns of odds_history, in order."""
    row, _, carried = msgspec.json.decode(letter)
    names = dict(zip(_NAMES, (text.replace("\0", "\ufffd") for text in row[4:10]), strict=True))
    place = blake2b("\x1f".join(names.values()).encode(), digest_size=12).hexdigest()
    counts = {"kind": row[2], "carries": len(carried)}
    return {"letter_id": letter_id, "place": place, **counts, **names}
