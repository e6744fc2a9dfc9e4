"""Payloads with one part replaced by an arbitrary JSON-like value, and sites that serve them.

A site spoils the payload of one event, differently at each request, and never touches the others. A
service must read those exactly, whatever the spoilt one contains.
"""

import json
import re
from collections import deque
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

import trio
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import Response

from tests.support.providers import ProviderShelf

# A part to spoil, and its new value, by shares from 0 to 1: (the name of a field, the field among
# all of that name, the value among those that suit the field or None, the value used with None)
Spoilt = tuple[float, float, float | None, Any]

SPORT: Final = "soccer_garbage"
_TIMES: Final[tuple[Any, ...]] = (
    "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-05-06T11:00:00",
    "1969-12-31T23:59:59Z", "2101-01-01T00:00:00Z", "2026-13-45T11:00:00Z", "tomorrow",
    "0001-01-01 00:00:00", "9999-12-31 23:59:59", 1_778_065_200, 1_778_065_200_000, -(10**17),
    10**17, 0, 1e300, "1778065200",
)  # fmt: skip
_NUMBERS: Final[tuple[Any, ...]] = (
    "", "0", "-1", "1e309", "two", "1,5", 0, 1, -1, 100, 1.0, 1.01, -2147483648, 2**63, -(2**80),
    1e308, 1e-308, 2.5, float("nan"), float("-inf"), True, "total=", "hcp=0:1",
)  # fmt: skip
_TEXTS: Final[tuple[Any, ...]] = (
    "", " ", "*", "[/]", "null", "x" * 300, "y" * 70_000, "\u202etxet", "\x1b]0;title\x07",
    "a\0b", "line\nbreak", "\u05d0\u05d1\u05d2", "e\u0301", "\ud800", 0, 2**63, 1.5,
)  # fmt: skip
_SHAPES: Final[tuple[Any, ...]] = (
    None, True, [], {}, [[]], [None], {"key": None}, [{}], {"price": "two"},
    [{"name": "Draw", "price": 0}] * 3, list(range(2_100)), "text", 1,
)  # fmt: skip
_LIKE_A_TIME: Final = re.compile("time|date|start|update", re.IGNORECASE)
_LIKE_A_NUMBER: Final = re.compile(
    "price|odds|point|handicap|specifier|status|active|^v$|_", re.IGNORECASE
)

VALUES: Final[st.SearchStrategy[Any]] = st.one_of(
    st.sampled_from([*_TIMES, *_NUMBERS, *_TEXTS, *_SHAPES]),
    st.recursive(
        st.one_of(
            st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=8)
        ),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)
        ),
        max_leaves=6,
    ),
)
SPOILT: Final[st.SearchStrategy[Spoilt]] = st.tuples(
    st.floats(0, 1, exclude_max=True),
    st.floats(0, 1, exclude_max=True),
    st.none() | st.floats(0, 1, exclude_max=True),
    VALUES,
)


def parts_of(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield all parts of a payload below its root, each as its container and its key there."""
    keys = value.keys() if isinstance(value, dict) else range(len(value))
    for key in list(keys):
        yield value, key
        if isinstance(value[key], (dict, list)):
            yield from parts_of(value[key])


def spoil(payload: Any, spoilt: Spoilt) -> Any:
    """Return the payload with one part of it replaced."""
    copied = json.loads(json.dumps(payload))
    named: dict[str, list[tuple[Any, Any]]] = {}
    for container, key in parts_of(copied):
        # By name, so that a field that occurs once is as likely as one that occurs a hundred times.
        named.setdefault(key if isinstance(key, str) else "[]", []).append((container, key))
    which, place, suiting, value = spoilt
    names = sorted(named)
    names += [each for each in names if _LIKE_A_TIME.search(each)] * 3  # there are few
    name = names[int(which * len(names))]
    container, key = named[name][int(place * len(named[name]))]
    container[key] = value if suiting is None else _suiting(name, container[key], suiting)
    return copied


def _suiting(name: str, present: Any, share: float) -> Any:
    """Return a wrong value of a kind that suits the field."""
    if isinstance(present, (dict, list)):
        values = _SHAPES
    elif _LIKE_A_TIME.search(name):
        values = _TIMES
    elif _LIKE_A_NUMBER.search(name):
        values = _NUMBERS
    else:
        values = _TEXTS
    return values[int(share * len(values))]


class SpoiltShelf:
    """A by-event provider's site that spoils every second answer about one event."""

    def __init__(self, shelf: ProviderShelf, event_id: str) -> None:
        self.spoilt: deque[Spoilt] = deque()
        self._shelf = shelf
        self._event_id = event_id
        self._clean = True

    async def __call__(self, request: Request) -> Response:
        await trio.lowlevel.checkpoint()
        response = self._shelf.answer(request, await request.body())
        if response.status_code != 200 or not self.spoilt:
            return response
        asked = request.url.path.rpartition("/")[2] == self._event_id or self._event_id in {
            request.query_params.get("eventId"), request.query_params.get("EVENTID")
        }  # fmt: skip
        if not asked:
            return response
        self._clean = not self._clean
        if self._clean:
            return response  # each spoilt answer is followed by a whole one
        body = json.loads(bytes(response.body))
        return Response(json.dumps(spoil(body, self.spoilt.popleft())).encode())


class SpoiltListing:
    """The Odds API with one sport; it spoils the first event of every second answer."""

    def __init__(self, events: list[Any]) -> None:
        self.spoilt: deque[Spoilt] = deque()
        self._events = events
        self._clean = True

    async def __call__(self, request: Request) -> Response:
        await trio.lowlevel.checkpoint()
        events = self._events
        self._clean = not self._clean
        if self.spoilt and not self._clean:
            events = [spoil(events[0], self.spoilt.popleft()), *events[1:]]
        return Response(json.dumps(events).encode())


def listed_event(number: int, home: str, away: str, start: datetime) -> Any:
    """Return an event of The Odds API with two bookmakers, the first with three market types."""

    def market(key: str, *outcomes: dict[str, Any]) -> Any:
        return {"key": key, "last_update": "2026-01-01T00:00:00Z", "outcomes": list(outcomes)}

    h2h = market(
        "h2h",
        {"name": home, "price": 2.4},
        {"name": away, "price": 2.9},
        {"name": "Draw", "price": 3.3},
    )
    totals = market(
        "totals",
        {"name": "Over", "price": 1.9, "point": 2.5},
        {"name": "Under", "price": 1.9, "point": 2.5},
    )
    spreads = market(
        "spreads",
        {"name": home, "price": 1.95, "point": -0.5},
        {"name": away, "price": 1.85, "point": 0.5},
    )
    bookmakers = [
        {"key": key, "title": key, "last_update": "2026-01-01T00:00:00Z", "markets": markets}
        for key, markets in (("abc", [h2h, totals, spreads]), ("xyz", [h2h]))
    ]
    return {
        "id": f"{number:032x}",
        "sport_key": SPORT,
        "sport_title": "Garbage",
        "commence_time": f"{start:%Y-%m-%dT%H:%M:%SZ}",
        "home_team": home,
        "away_team": away,
        "bookmakers": bookmakers,
    }
