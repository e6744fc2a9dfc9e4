"""One match in the payloads of SportyBet, BetPawa and Bet9ja, with three markets.

The shapes are the providers'; the matches and prices are made up.
"""

from datetime import UTC, datetime
from typing import Any

import msgspec


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """A match and its prices: home, draw, away; over and under 2.5; both to score, yes and no."""

    number: int  # SportRadar's id, which all three share
    home: str
    away: str
    start: datetime
    h2h: tuple[float, float, float] = (2.4, 3.3, 2.9)
    totals: tuple[float, float] = (1.9, 1.9)
    btts: tuple[float, float] | None = (1.7, 2.1)
    in_play: bool = False
    tournament: int = 649
    shared: bool = True  # whether the payload has SportRadar's id


def sportybet(match: Match) -> Any:
    """Return the `data` of SportyBet's answer."""

    def market(number: str, prices: tuple[float, ...], ids: str, **more: Any) -> Any:
        outcomes = [
            {"id": own_id, "odds": f"{price:.2f}", "isActive": 1, "desc": own_id}
            for own_id, price in zip(ids.split(), prices, strict=True)
        ]
        return {"id": number, "status": 0, "outcomes": outcomes} | more

    markets = [
        market("1", match.h2h, "1 2 3", name="1X2"),
        market("18", match.totals, "12 13", name="Over/Under", specifier="total=2.5"),
    ]
    if match.btts is not None:
        markets.append(market("29", match.btts, "74 76", name="GG/NG"))
    return {
        "eventId": f"sr:match:{match.number}",
        "estimateStartTime": round(match.start.timestamp() * 1000),
        "status": 1 if match.in_play else 0,
        "homeTeamName": match.home,
        "awayTeamName": match.away,
        "sport": {
            "id": "sr:sport:1",
            "name": "Football",
            "category": {
                "id": "sr:category:1",
                "name": "Nowhere",
                "tournament": {"id": f"sr:tournament:{match.tournament}", "name": "League"},
            },
        },
        "markets": markets,
    }


def betpawa(match: Match) -> Any:
    """Return the body of BetPawa's answer."""

    def market(number: str, prices: tuple[float, ...], names: str, line: float | None) -> Any:
        row = {
            "handicap": line,
            "prices": [
                {"name": name, "price": price, "suspended": False}
                for name, price in zip(names.split(), prices, strict=True)
            ],
        }
        return {"marketType": {"id": number, "name": number}, "row": [row]}

    markets = [
        market("3743", match.h2h, "1 X 2", None),
        market("5000", match.totals, "Over Under", 10.0),
    ]
    if match.btts is not None:
        markets.append(market("3795", match.btts, "Yes No", None))
    widget = {"id": str(match.number), "type": "SPORTRADAR", "retention": "PREMATCH"}
    return {
        "id": str(match.number - 1_000_000),
        "name": f"{match.home} - {match.away}",
        "widgets": [widget] if match.shared else [],
        "participants": [
            {"id": "1", "name": match.home, "position": 1},
            {"id": "2", "name": match.away, "position": 2},
        ],
        "startTime": match.start.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "markets": markets,
        "category": {"id": "2", "name": "Football"},
        "region": {"id": "150", "name": "Nowhere"},
        "competition": {"id": str(match.tournament), "name": "League"},
        "additionalInfo": {"live": match.in_play},
    }


def bet9ja(match: Match) -> Any:
    """Return the `D` of Bet9ja's answer."""
    odds = dict(zip(("S_1X2_1", "S_1X2_X", "S_1X2_2"), match.h2h, strict=True))
    odds |= dict(zip(("S_OU@2.5_O", "S_OU@2.5_U"), match.totals, strict=True))
    if match.btts is not None:
        odds |= dict(zip(("S_GGNG_Y", "S_GGNG_N"), match.btts, strict=True))
    return {
        "ID": match.number + 700_000_000,
        "EXTID": str(match.number) if match.shared else None,
        "DS": f"{match.home} - {match.away}",
        "STARTDATE": match.start.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S"),
        "SID": 1,
        "S": "Soccer",
        "SGID": 12_016,
        "SG": "Nowhere",
        "GID": match.tournament,
        "GN": "League",
        "O": {key: f"{price:g}" for key, price in odds.items()},
    }
