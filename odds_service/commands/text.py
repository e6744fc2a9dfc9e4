"""Messages as people read them."""

from collections.abc import Iterator
from typing import Final

from odds_service.client import enum_word
from odds_service.rpc.pb.odds.v1 import odds_pb2 as pb

WHOLE_FROM: Final = 100  # prices from here on are shown without decimals


def key_text(key: pb.MarketKey) -> str:
    """A market as people write it: `totals 2.5`, `player_points 7.5 A Player`."""
    line = f" {key.line:g}" if key.HasField("line") else ""
    participant = f" {key.participant}" if key.participant else ""
    return f"{key.market}{line}{participant}"


def prices_text(market: pb.Market) -> str:
    """The outcomes with their prices; – where there is none, (…) where it cannot be bet on."""
    parts = []
    for outcome in market.outcomes:
        price = f"{outcome.price:.3g}" if outcome.price < WHOLE_FROM else f"{outcome.price:.0f}"
        price = price if outcome.HasField("price") else "–"
        parts.append(f"{outcome.key} {price if outcome.active else f'({price})'}")
    return "  ".join(parts)


def lines(message: pb.WatchChangesResponse) -> Iterator[str]:
    """What a person wants to read of a message: nothing for heartbeats."""
    kind = message.WhichOneof("message")
    if kind == "opened":
        intent = enum_word(pb.Intent.Name, message.opened.intent, "INTENT_")
        reason = enum_word(pb.IntentReason.Name, message.opened.reason, "INTENT_REASON_")
        yield f"— {intent} ({reason}) at revision {message.opened.cursor.revision}"
    elif kind == "image_end":
        end = message.image_end
        yield f"— image: {end.events} events, {end.markets} markets"
    elif kind == "lagged":
        yield f"— changes {message.lagged.lost_from} to {message.lagged.lost_to} were missed"
    elif kind == "closing":
        yield f"— {message.closing.reason}"
    elif kind == "changes":
        for change in message.changes.changes:
            yield change_text(change)


def change_text(change: pb.Change) -> str:
    """One change as one line."""
    name = enum_word(pb.ChangeKind.Name, change.kind, "CHANGE_KIND_")
    at = f"{change.detected_at.ToDatetime():%H:%M:%S}"
    reason = f" ({change.reason})" if change.reason else ""
    if change.HasField("source_state"):
        return f"{at}  {name}  {change.source}{reason}"
    if not change.HasField("after"):
        return f"{at}  {name}  {change.event.name or change.event_id}{reason}"
    before = prices_text(change.before) if change.HasField("before") else ""
    after = prices_text(change.after)
    odds = " → ".join(part for part in (before, after) if part)
    place = f"{change.event_id}  {change.bookmaker}  {key_text(change.after.key)}"
    return f"{at}  {name}  {place}  {odds}{reason}"
