"""Text forms of the contract's messages, for people."""

from collections.abc import Callable, Iterator
from typing import Final

from odds_service.client import Market, MarketKey, enum_word
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb

WHOLE_FROM: Final = 100  # prices from here on are shown without decimals


def key_text(key: pb.MarketKey) -> str:
    """Return the text of a market key: `totals 2.5`, `player_points 7.5 A Player`."""
    line = f" {key.line:g}" if key.HasField("line") else ""
    participant = f" {key.participant}" if key.participant else ""
    return f"{key.market}{line}{participant}"


def prices_text(market: pb.Market) -> str:
    """Return the outcomes with their prices: – without a price, (…) if no bet is possible."""
    return "  ".join(f"{outcome.key} {price_text(outcome)}" for outcome in market.outcomes)


def bare_prices_text(market: pb.Market) -> str:
    """Return only the prices, in the order of the outcomes: `1.91 1.95`."""
    return " ".join(price_text(outcome, form=".2f") for outcome in market.outcomes)


def price_text(outcome: pb.Outcome, *, form: str = ".3g", bettable: bool = True) -> str:
    """Return `1.91`, `–` without a price, or `(1.91)` if no bet is possible."""
    price = f"{outcome.price:{form}}" if outcome.price < WHOLE_FROM else f"{outcome.price:.0f}"
    price = price if outcome.HasField("price") else "–"
    return price if outcome.active and bettable else f"({price})"


def market_key_text(key: MarketKey) -> str:
    """Like key_text(), for a MarketKey."""
    return " ".join(part for part in key if part)


def outcomes_text(market: Market) -> str:
    """Like prices_text(), for a Market."""
    return prices_text(pb.Market(outcomes=[
        pb.Outcome(key=o.key, price=o.price, active=o.active) for o in market.outcomes
    ]))  # fmt: skip


def age_text(seconds: float) -> str:
    """Return an age in a readable unit: `3.2 s`, `12 min`, `5.1 h`, `2.4 d`."""
    if seconds < 99.5:
        return f"{seconds:.1f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 36 * 3600 else f"{seconds / 86400:.1f} d"


def counted(number: int, one: str) -> str:
    """Return a number with a noun: `1 event`, `2 events`."""
    return f"{number:,} {one}{'' if number == 1 else 's'}"


def its_id(event_id: str) -> str:
    """Return the id, in place of a name."""
    return event_id


def lines(
    message: pb.WatchChangesResponse, name_of: Callable[[str], str] = its_id
) -> Iterator[str]:
    """Yield the lines that describe a message; heartbeats have none."""
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
            yield change_text(change, name_of)


def why_text(state: pb.SourceState) -> str:
    """Return the cause of a source's state, such as `timeout: GET /v4/sports took over 10 s`."""
    return ": ".join(part for part in (state.reason, state.detail) if part)


def change_text(
    change: pb.Change, name_of: Callable[[str], str] = its_id, *, days: bool = False
) -> str:
    """Return one change as one line.

    Args:
        change: The change.
        name_of: A function from an event's id to its name.
        days: Show the date too.
    """
    name = enum_word(pb.ChangeKind.Name, change.kind, "CHANGE_KIND_")
    if not change.HasField("detected_at"):
        return f"{name}  revision {change.revision}: the database refused this change"
    at = f"{change.detected_at.ToDatetime():{'%Y-%m-%d ' if days else ''}%H:%M:%S}"
    reason = f" ({change.reason})" if change.reason else ""
    if change.HasField("source_state"):
        why = why_text(change.source_state)
        return f"{at}  {name}  {change.source}{f' ({why})' if why else ''}"
    if not change.HasField("after"):
        return f"{at}  {name}  {change.event.name or change.event_id}{reason}"
    before = prices_text(change.before) if change.HasField("before") else ""
    after = prices_text(change.after)
    odds = " → ".join(part for part in (before, after) if part)
    place = f"{name_of(change.event_id)}  {change.bookmaker}  {key_text(change.after.key)}"
    return f"{at}  {name}  {place}  {odds}{reason}"
