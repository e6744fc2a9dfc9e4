"""Text forms of the contract's messages, for people."""

from collections.abc import Mapping

from odds_service.client import MarketKey
from odds_service.model.text import counted
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb


def key_text(key: pb.MarketKey) -> str:
    """Return the text of a market key: `totals 2.5`, `player_points 7.5 A Player`."""
    line = f" {key.line:g}" if key.HasField("line") else ""
    participant = f" {key.participant}" if key.participant else ""
    return f"{key.market}{line}{participant}"


def market_key_text(key: MarketKey) -> str:
    """Like key_text(), for a MarketKey."""
    return " ".join(part for part in key if part)


def outcome_name(event: pb.Event, outcome: str) -> str:
    """Return an outcome's name: the teams for home and away."""
    teams = {"home": event.home, "away": event.away}
    return teams.get(outcome, "") or outcome.replace("_", " ")


def age_text(seconds: float) -> str:
    """Return an age in a readable unit: `3.2 s`, `12 min`, `5.1 h`, `2.4 d`."""
    if seconds < 99.5:
        return f"{seconds:.1f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 36 * 3600 else f"{seconds / 86400:.1f} d"


def tally(times: Mapping[str, int], most: int) -> str:
    """Return the most frequent names with their counts: `bad_price (3), timeout (1)`."""
    names = sorted(times.items(), key=lambda each: (-each[1], each[0]))
    more = f" and {counted(len(names) - most, 'other name')}" if len(names) > most else ""
    return ", ".join(f"{name} ({count})" for name, count in names[:most]) + more


def why_text(state: pb.SourceState) -> str:
    """Return the cause of a source's state, such as `timeout: GET /v4/sports took over 10 s`."""
    return ": ".join(part for part in (state.reason, state.detail) if part)
