"""Bodies with text that is not UTF-8, has half a character or a NUL: one text spoils one part.

Every reader gets the same damage at the same places of its body: in a market, in the name of an
event, and in a text that nobody reads. Then come any bytes at any place.
"""

import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct
from starlette.responses import Response

from odds_service.errors import SourceError
from odds_service.model.market import MarketKey, ObservedMarket
from odds_service.model.observation import Observation
from odds_service.model.text import is_text
from odds_service.sources.base import Pull, Source
from odds_service.sources.boundary import Gate
from odds_service.sources.by_event import ByEvent
from odds_service.sources.http_answer import Answer, decode_json, require_ok
from odds_service.sources.markets.coverage import Coverage
from odds_service.sources.recognise import READERS, recognise
from odds_service.sources.registry import open_source, recorded_reader
from tests.sources.serving import Scripted, listening
from tests.support import payloads
from tests.support.garbage import SPORT, listed_event, parts_of
from tests.support.payloads import Match

AT: Final = datetime(2026, 5, 6, 9, tzinfo=UTC)
MATCH: Final = Match(number=68_995_116, home="Reds", away="Blues", start=AT.replace(hour=11))
KEY: Final = "key-of-the-test"
ODDS_API: Final = "the-odds-api"
MARKET, NAME, UNREAD = "market", "name", "unread"  # places of damage


class Body(Struct, frozen=True):
    """A clean body of one reader.

    Attributes:
        key: The key of its pull.
        marks: Place -> the bytes in front of the damage.
        path: The name's path in the text of an error; empty where an event is no whole body.
        market: The first bytes of the market of totals, and those of the next one.
    """

    json: bytes
    key: str
    marks: Mapping[str, bytes]
    path: str
    market: tuple[bytes, bytes]


def _bodies() -> dict[str, Body]:
    unread = {"unread": "Nobody"}
    sportybet, betpawa, bet9ja = (
        make(MATCH) | unread for make in (payloads.sportybet, payloads.betpawa, payloads.bet9ja)
    )
    events = [listed_event(n, f"Reds {n}", f"Blues {n}", MATCH.start) for n in range(3)]
    for event in events[1:]:
        del event["bookmakers"][0]  # the only one with totals
    events[0] |= unread
    bodies = {
        "sportybet": (
            {"bizCode": 10_000, "data": sportybet}, sportybet["eventId"],
            b'"name": "Over', b'"homeTeamName": "Re', "$.homeTeamName",
            (b'{"id": "18"', b'{"id": "29"'),
        ),
        "betpawa": (
            betpawa, betpawa["id"],
            b'{"id": "5000", "name": "50', b'"id": "1", "name": "Re', "$.participants[0].name",
            (b'{"marketType": {"id": "5000"', b'{"marketType": {"id": "3795"'),
        ),
        "bet9ja": (
            {"R": "OK", "D": bet9ja}, str(bet9ja["ID"]),
            b'"S_OU@2.5_O', b'"DS": "Re', "$.DS",
            (b'"S_OU@2.5_O', b'"S_GGNG_Y'),
        ),
        ODDS_API: (
            events, SPORT,
            b'"key": "to', b'"home_team": "Reds 0', "",
            (b'{"key": "totals"', b'{"key": "spreads"'),
        ),
    }  # fmt: skip
    return {
        kind: Body(
            json.dumps(body).encode(),
            key,
            {MARKET: in_market, NAME: in_name, UNREAD: b'"Nobo'},
            path,
            market,
        )
        for kind, (body, key, in_market, in_name, path, market) in bodies.items()
    }


BODIES: Final = _bodies()
BAD: Final = {
    "Latin-1": b"\xe9",
    "no UTF-8": b"\xff",
    "half a character in bytes": b"\xed\xa0\x80",
    "a high half": rb"\ud800",
    "a low half": rb"\udfff",
}
kinds = pytest.mark.parametrize("kind", BODIES)
damages = pytest.mark.parametrize("damage", BAD.values(), ids=BAD)

Markets = dict[tuple[str, str, MarketKey], ObservedMarket]


def damaged(kind: str, place: str, damage: bytes) -> bytes:
    body = BODIES[kind]
    mark = body.marks[place]
    assert body.json.count(mark) == 1
    return body.json.replace(mark, mark + damage)


def recorded(kind: str, body: bytes) -> Observation:
    """Read a body as an import does."""
    reader = recorded_reader(kind, "mine")
    with suppress(SourceError):  # the name of its file may have the key
        reader.look(body)
    return reader.read(body, BODIES[kind].key, AT)


@asynccontextmanager
async def serving(kind: str, body: bytes, **more: Any) -> AsyncIterator[Source]:
    """Open a source to which every answer is the body."""
    table: dict[str, Any] = {"http": {"requests_per_s": 10_000.0, "attempts": 1}}
    if kind == ODDS_API:
        table |= {"sports": [SPORT], "api_key": KEY}
    async with listening(Scripted(Response(body, more.pop("status", 200)))) as url:
        async with open_source({"kind": kind, "name": "mine", "url": url} | table | more) as source:
            yield source


async def fetch_from(kind: str, source: Source) -> Observation:
    """Fetch as the service does."""
    if kind == ODDS_API:
        return await source.fetch(Pull(key=SPORT))
    return await source.fetch_event(BODIES[kind].key, None)


async def both(kind: str, body: bytes) -> list[Observation]:
    """Return the observations of a body: a recorded one, and a fetched one."""
    async with serving(kind, body) as source:
        return [recorded(kind, body), await fetch_from(kind, source)]


def admitted(given: Observation) -> Observation:
    """Return what the gate lets through; all of its texts can be stored and sent."""
    shown = Gate("mine").check(given, Counter(), started_at=AT, observed_at=AT)
    assert is_text(*texts_in(shown))
    return shown


def texts_in(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Struct):
        yield from texts_in(tuple(getattr(value, name) for name in value.__struct_fields__))
    elif isinstance(value, Mapping):
        yield from texts_in((*value.keys(), *value.values()))
    elif isinstance(value, tuple | list | frozenset):
        for each in value:
            yield from texts_in(each)


def markets_in(observation: Observation) -> Markets:
    return {
        (event.source_event_id, shown.bookmaker, key): market
        for event in observation.events
        for shown in event.bookmakers
        for key, market in shown.markets.items()
    }


def but_totals(markets: Markets) -> Markets:
    return {place: market for place, market in markets.items() if place[2].market != "totals"}


@cache
def clean(kind: str) -> Markets:
    markets = markets_in(admitted(recorded(kind, BODIES[kind].json)))
    assert len(markets) > len(but_totals(markets)) > 1
    return markets


@kinds
@damages
async def test_a_market_with_bad_text_is_lost_alone(kind: str, damage: bytes) -> None:
    body = damaged(kind, MARKET, damage)
    for observation in await both(kind, body):
        shown = admitted(observation)
        assert but_totals(markets_in(shown)) == but_totals(clean(kind))
        assert shown.problems.keys() & {"bad_market", "bad_key"}
        assert shown.events[0].bookmakers[0].unreadable


@kinds
@damages
async def test_bad_text_that_nobody_reads_spoils_nothing(kind: str, damage: bytes) -> None:
    body = damaged(kind, UNREAD, damage)
    for observation in await both(kind, body):
        shown = admitted(observation)
        assert markets_in(shown) == clean(kind)
        assert shown.problems == {}


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        ("sportybet", b'"outcomes": ', b'"lastOddsChangeTime": "%b", "outcomes": '),
        (ODDS_API, b'"last_update": ', b'"last_update": "%b", "unread": '),
    ],
)
@damages
async def test_bad_text_in_a_time_leaves_the_prices(
    kind: str, before: bytes, after: bytes, damage: bytes
) -> None:
    body = BODIES[kind].json.replace(before, after % damage)
    count = BODIES[kind].json.count(before)
    for observation in await both(kind, body):
        shown = admitted(observation)
        assert shown.problems == {"bad_time": count}
        assert {place: each.outcomes for place, each in markets_in(shown).items()} == {
            place: each.outcomes for place, each in clean(kind).items()
        }


@damages
async def test_bad_text_in_a_title_leaves_the_prices(damage: bytes) -> None:
    title = b'"sport_title": "'
    body = BODIES[ODDS_API].json.replace(title, title + damage)
    for observation in await both(ODDS_API, body):
        shown = admitted(observation)
        assert markets_in(shown) == clean(ODDS_API)
        assert shown.problems == {}


@damages
async def test_bad_text_in_the_name_of_one_event_spoils_no_other(damage: bytes) -> None:
    spoilt = f"{0:032x}"
    for observation in await both(ODDS_API, damaged(ODDS_API, NAME, damage)):
        shown = admitted(observation)
        assert shown.unreadable == {spoilt}
        assert shown.problems == {"bad_event": 1}
        kept = {place: market for place, market in clean(ODDS_API).items() if place[0] != spoilt}
        assert markets_in(shown) == kept


@pytest.mark.parametrize("kind", READERS)
@damages
async def test_bad_text_in_the_name_of_the_event_is_an_error_with_its_place(
    kind: str, damage: bytes
) -> None:
    body = damaged(kind, NAME, damage)
    with pytest.raises(SourceError) as of_recorded:
        recorded(kind, body)
    with pytest.raises(SourceError) as of_recognised:
        READERS[recognise(body)](body, Counter(), Coverage())
    async with serving(kind, body) as source:
        with pytest.raises(SourceError) as of_fetched:
            await fetch_from(kind, source)
    for refused in (of_recorded.value, of_recognised.value, of_fetched.value):
        assert refused.kind == "wrong_shape"
        assert f"has half a character - at `{BODIES[kind].path}` (byte " in str(refused)
        assert str(refused).isprintable()


@damages
def test_a_plug_ins_decoder_names_the_place_and_not_the_key(damage: bytes) -> None:
    answer = Answer(200, {}, b'[{"name":"a"},{"name":"b%b"}]' % damage)
    with pytest.raises(SourceError, match=r"^/odds: .* at `\$\[1\]\.name` \(byte 24\)$") as refused:
        decode_json("/odds", answer, list[dict[str, str]])
    assert refused.value.kind == "wrong_shape"


@damages
async def test_an_error_in_bad_text_is_refused_by_its_status(damage: bytes) -> None:
    refusal = b'{"message": "no %b", "error_code": "X"}' % damage
    with pytest.raises(SourceError, match="answered 403"):
        require_ok("/odds", Answer(403, {}, refusal))
    async with serving(ODDS_API, refusal, status=403) as source:
        with pytest.raises(SourceError, match="answered 403: no reason given") as refused:
            await fetch_from(ODDS_API, source)
    assert refused.value.kind == "status_403"
    assert KEY not in str(refused.value)


IDS: Final = ("1", "second", "3")
# The lists of tournaments and of events.
LISTINGS: Final[dict[str, tuple[object, object]]] = {
    "sportybet": (
        {
            "bizCode": 10_000,
            "data": {
                "sportList": [
                    {"id": "s", "categories": [{"tournaments": [{"id": each} for each in IDS]}]}
                ]
            },
        },
        {"bizCode": 10_000, "data": [{"events": [{"eventId": each} for each in IDS]}]},
    ),
    "betpawa": (
        {
            "withRegions": [
                {
                    "category": {"id": "s"},
                    "regions": [{"competitions": [{"competition": {"id": each}} for each in IDS]}],
                }
            ]
        },
        {"responses": [{"responses": [{"id": each} for each in IDS]}]},
    ),
    "bet9ja": (
        {
            "R": "OK",
            "D": {"PAL": {"s": {"SG": {"r": {"G": {each: {} for each in IDS}}}}}},
        },
        {"R": "OK", "D": {"E": [{"ID": each} for each in IDS]}},
    ),
}
own_sites = pytest.mark.parametrize("kind", LISTINGS)


def with_second(listing: object, written: bytes) -> bytes:
    return json.dumps(listing).encode().replace(b'"second"', written)


@own_sites
@damages
async def test_a_tournament_with_bad_text_is_lost_alone(kind: str, damage: bytes) -> None:
    body = with_second(LISTINGS[kind][0], b'"2%b"' % damage)
    async with serving(kind, body, sports=["s"]) as source:
        assert isinstance(source, ByEvent)
        problems: Counter[str] = Counter()
        assert await source.tournaments(problems) == ["1", "3"]
    assert problems == {"bad_pull": 1}


@own_sites
@pytest.mark.parametrize(
    "written",
    [*(b'"2%b"' % damage for damage in BAD.values()), b"null", b"[2]", b'{"id": "2"}'],
)
async def test_an_entry_of_a_listing_that_cannot_be_read_is_lost_alone(
    kind: str, written: bytes
) -> None:
    body = with_second(LISTINGS[kind][1], written)
    async with serving(kind, body, sports=["s"], tournaments=["t"]) as source:
        offer = await source.discover()
    assert {pull.key for pull in offer.pulls} == {"1", "3"}
    requests = 2 if kind == "betpawa" else 1  # upcoming and in play
    assert offer.problems == {"bad_pull": requests}


@own_sites
async def test_a_listing_without_a_readable_entry_is_refused(kind: str) -> None:
    body = re.sub(rb'"(1|second|3)"', b"null", json.dumps(LISTINGS[kind][1]).encode())
    reason = r"no entry is readable: Expected .* - at `\$\.\w+`$"
    async with serving(kind, body, sports=["s"], tournaments=["t"]) as source:
        with pytest.raises(SourceError, match=reason) as refused:
            await source.discover()
    assert refused.value.kind == "wrong_shape"


@own_sites
@pytest.mark.parametrize("wrong", [None, [], "x", 7, {"x": []}], ids=json.dumps)
async def test_tournaments_of_another_shape_are_read_or_refused(kind: str, wrong: object) -> None:
    tree = LISTINGS[kind][0]
    for holder, key in list(parts_of(tree)):
        if isinstance(holder[key], str | int):
            continue
        before, holder[key] = holder[key], wrong
        body = json.dumps(tree).encode()
        holder[key] = before
        async with serving(kind, body, sports=["s"]) as source:
            assert isinstance(source, ByEvent)
            with suppress(SourceError):
                assert set(await source.tournaments(Counter())) <= {*IDS, "x"}


@kinds
@damages
async def test_discovery_in_bad_text_has_a_named_failure(kind: str, damage: bytes) -> None:
    listing = {
        "sportybet": b'{"bizCode": 10000, "message": "%b"}',
        "betpawa": b'{"withRegions": [{"category": {"id": "%b"}, "regions": []}]}',
        "bet9ja": b'{"R": "OK", "D": {"PAL": {"%b": {"SG": {}}}}}',
        ODDS_API: b'[{"id": "%b", "commence_time": "2026-05-06T11:00:00Z"}]',
    }[kind]
    more = {"by_event": True} if kind == ODDS_API else {}
    async with serving(kind, listing % damage, **more) as source:
        with pytest.raises(SourceError) as refused:
            await source.discover()
    assert refused.value.kind == "wrong_shape"


@kinds
def test_a_nul_in_any_text_is_neither_stored_nor_sent(kind: str) -> None:
    body = BODIES[kind].json
    for found in re.finditer(rb'"(?!: )', body):
        spoilt = body[: found.end()] + rb"\u0000" + body[found.end() :]
        with suppress(SourceError):
            admitted(recorded(kind, spoilt))


# -- any bytes at any place ----------------------------------------------------------------------

BYTES: Final = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.sampled_from([*BAD.values(), b"\0", b'"'])),
    min_size=1,
    max_size=4,
) | st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=4)),
    min_size=1,
    max_size=4,
)  # fmt: skip
SPOILING: Final = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.sampled_from(list(BAD.values()))),
    min_size=1,
    max_size=6,
)


@kinds
@given(BYTES)
def test_any_bytes_are_read_or_refused(kind: str, written: list[tuple[float, bytes]]) -> None:
    body = BODIES[kind].json
    for share, each in written:
        at = int(share * len(body))
        body = body[:at] + each + body[at + len(each) :]
    with suppress(SourceError):
        READERS[recognise(body)](body, Counter(), Coverage())
    with suppress(SourceError):
        admitted(recorded(kind, body))


def texts_between(body: bytes, begin: int, end: int) -> list[int]:
    """Return the places inside texts, keys included."""
    texts = re.finditer(rb'"([^"]+)"', body[begin:end])
    return [begin + at for text in texts for at in range(text.start(1), text.end(1))]


def spoil(body: bytes, places: list[int], written: list[tuple[float, bytes]]) -> bytes:
    """Write bad texts at some of the places, from the last one to the first."""
    chosen = {places[int(share * len(places))]: bad for share, bad in written}
    for at, bad in sorted(chosen.items(), reverse=True):
        body = body[:at] + bad + body[at:]
    return body


@kinds
@given(SPOILING)
def test_bad_texts_in_a_market_spoil_no_other(
    kind: str, written: list[tuple[float, bytes]]
) -> None:
    body, (first, after) = BODIES[kind].json, BODIES[kind].market
    begin, end = body.index(first), body.index(after)
    spoilt = spoil(body, texts_between(body, begin, end), written)
    assert but_totals(markets_in(admitted(recorded(kind, spoilt)))) == but_totals(clean(kind))


@given(SPOILING)
def test_bad_texts_in_an_event_spoil_no_other(written: list[tuple[float, bytes]]) -> None:
    body = BODIES[ODDS_API].json
    second = f"{1:032x}"
    end = body.index(second.encode()) - len('{"id": "')
    spoilt = spoil(body, texts_between(body, 0, end), written)
    expected = {place: each for place, each in clean(ODDS_API).items() if place[0] >= second}
    shown = markets_in(admitted(recorded(ODDS_API, spoilt)))
    assert {place: each for place, each in shown.items() if place[0] >= second} == expected
