"""Small bodies in the providers' own shapes, for tests that always run."""

import json
from typing import Any


def sportybet(*markets: dict[str, Any], **fields: Any) -> bytes:
    """Return SportyBet's answer for one event."""
    event = {
        "eventId": "sr:match:123",
        "estimateStartTime": 1778065200000,
        "status": 0,
        "homeTeamName": "Reds FC",
        "awayTeamName": "Blues FC",
        "sport": {
            "id": "sr:sport:1",
            "name": "Football",
            "category": {"name": "China", "tournament": {"name": "Super League"}},
        },
        "markets": list(markets),
    }
    return json.dumps({"bizCode": 10000, "message": "0#0", "data": event | fields}).encode()


def sportybet_market(
    id: str,  # noqa: A002 (theirs)
    odds: dict[str, Any],
    specifier: str | None = None,
    texts: dict[str, str] | None = None,
    **fields: Any,
) -> dict[str, Any]:
    """Return a market from its outcomes' odds by id; an exclamation mark ends the inactive ones."""
    outcomes = [
        {
            "id": key.rstrip("!"),
            "odds": value,
            "isActive": 0 if key.endswith("!") else 1,
            "desc": (texts or {}).get(key, key),
        }
        for key, value in odds.items()
    ]
    market = {"id": id, "product": 3, "status": 0, "name": f"Market {id}", "outcomes": outcomes}
    if specifier is not None:
        market["specifier"] = specifier
    return market | fields


def betpawa(*markets: dict[str, Any], **fields: Any) -> bytes:
    """Return BetPawa's event."""
    event = {
        "id": "33289995",
        "name": "Reds FC - Blues FC",
        "results": None,
        "widgets": [{"id": "123", "type": "SPORTRADAR", "retention": None}],
        "participants": [
            {"id": "1", "name": "Reds FC", "position": 1},
            {"id": "2", "name": "Blues FC", "position": 2},
        ],
        "startTime": "2026-05-06T11:00:00Z",
        "category": {"id": "2", "name": "Football"},
        "region": {"id": "150", "name": "China"},
        "competition": {"id": "13344", "name": "Super League"},
        "additionalInfo": {"live": False},
        "markets": list(markets),
    }
    return json.dumps(event | fields).encode()


def betpawa_market(
    id: str,  # noqa: A002 (theirs)
    *rows: dict[str, Any],
    handicaps: tuple[float | None, ...] = (None,),
) -> dict[str, Any]:
    """Return a market of rows of prices by name; an exclamation mark ends suspended ones.

    handicaps: one per row, in quarters; the last also serves all further rows.
    """
    return {
        "marketType": {"id": id, "name": f"Market {id}"},
        "row": [
            {
                "handicap": handicaps[min(number, len(handicaps) - 1)],
                "formattedHandicap": None,
                "prices": [
                    {"name": name.rstrip("!"), "price": price, "suspended": name.endswith("!")}
                    for name, price in row.items()
                ],
            }
            for number, row in enumerate(rows)
        ],
    }


def bet9ja(odds: dict[str, Any], **fields: Any) -> bytes:
    """Return Bet9ja's answer for one event before its start."""
    event = {
        "ID": 769895636,
        "DS": "Reds - Blues FC",
        "STARTDATE": "2026-05-06 11:00:00",
        "EXTID": "123",
        "SID": 1,
        "S": "Soccer",
        "SG": "China",
        "GN": "Super League",
        "O": odds,
        "MK": [{"ID": "S_NEW", "DS": "A New Market "}],
    }
    return json.dumps({"R": "OK", "D": event | fields}).encode()


def bet9ja_live(odds: dict[str, Any]) -> bytes:
    """Return Bet9ja's answer for one event in play."""
    about = {
        "ID": 9261155,
        "DS": "Reds - Blues FC",
        "STARTDATE": "2026-05-06 11:00:00",
        "EXTID": "123",
        "BRMATCHID": 123,
        "SID": 3000001,
        "GN": "Super League",
    }
    body = {"A": {"ID": 9261155, "T": 91}, "AA": about, "O": odds}
    return json.dumps({"R": "D", "D": body}).encode()
