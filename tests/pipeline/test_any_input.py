"""Any value in any place of a provider's answer, through reader, gate, detect and encoder.

In one process, without a server, an answer is read, passes the gate, is applied, stored as rows,
read back, encoded and decoded. Nothing raises, untouched odds stay exact, everything left out is
counted by name, and the next valid answer finds everything as it was.

The long form fails unless each name occurs often:
`python -m pytest -m long -s tests/pipeline/test_any_input.py`; ODDS_ANY_EXAMPLES says how many.
"""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import Any, Final

import pytest
import structlog
import trio
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from odds_service.errors import SourceError
from odds_service.model.change import MarketChange
from odds_service.model.event import EventStatus
from odds_service.model.market import MarketKey, MarketStatus, Outcome
from odds_service.model.observation import (
    Completeness,
    Observation,
    ObservedBookmaker,
    ObservedEvent,
    Scope,
)
from odds_service.pipeline.detect import slices
from odds_service.sources.access import Access
from odds_service.sources.base import Pull
from odds_service.sources.bet9ja import Bet9ja, Bet9jaSettings
from odds_service.sources.betpawa import BetPawa, BetPawaSettings
from odds_service.sources.boundary import Gate, Limits
from odds_service.sources.failures import failure_of
from odds_service.sources.http_answer import Answer
from odds_service.sources.sportybet import SportyBet, SportyBetSettings
from odds_service.sources.the_odds_api import TheOddsApi, TheOddsApiSettings
from odds_service.storage.rows.history import change_from, history_row
from odds_service.wire import encode
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.pipeline.test_detect import Stage
from tests.sources import bodies
from tests.support.observations import NOON, Place, Shown, cached, fold, observed_event

EXAMPLES: Final = 50
LONG_EXAMPLES: Final = int(os.environ.get("ODDS_ANY_EXAMPLES", "200000"))
OFTEN: Final = 100
LIMITS: Final = Limits(max_events=8, max_markets=40)
SECOND: Final = timedelta(seconds=1)

# The names in docs/sources.md, without HTTP's (timeouts, statuses), which no body causes.
NAMES: Final = frozenset(
    {
        "bad_bookmaker", "bad_character", "bad_count", "bad_event", "bad_key", "bad_line",
        "bad_market", "bad_market_names", "bad_observation", "bad_outcome", "bad_price", "bad_row",
        "bad_sample", "bad_time", "html", "not_json", "refused", "repeated_bookmaker",
        "repeated_event",
        "repeated_market", "repeated_outcome", "too_many_events", "too_many_markets", "truncated",
        "wrong_event", "wrong_shape", "error_body",
    }
)  # fmt: skip


class Canned:
    """An HTTP client that answers with the body that a test sets."""

    def __init__(self) -> None:
        self.access = Access()
        self.body = b""

    async def get(self, _path: str, _params: object) -> Answer:
        await trio.lowlevel.checkpoint()
        return Answer(200, {}, self.body)


def odds_api_event(number: int) -> dict[str, Any]:
    return {
        "id": f"{number:032x}",
        "sport_key": "soccer_epl",
        "commence_time": "2026-08-04T18:00:00Z",
        "home_team": f"Reds {number}",
        "away_team": f"Blues {number}",
        "bookmakers": [
            {
                "key": key,
                "title": key,
                "last_update": "2026-08-04T11:59:00Z",
                "markets": [
                    {
                        "key": "h2h",
                        "last_update": "2026-08-04T11:58:00Z",
                        "outcomes": [
                            {"name": f"Reds {number}", "price": 2.1},
                            {"name": f"Blues {number}", "price": 3.4},
                            {"name": "Draw", "price": 3.3},
                        ],
                    },
                    {
                        "key": "totals",
                        "last_update": "2026-08-04T11:58:00Z",
                        "outcomes": [
                            {"name": "Over", "price": 1.9, "point": 2.5},
                            {"name": "Under", "price": 1.95, "point": 2.5},
                        ],
                    },
                ],
            }
            for key in ("acme", "bold")
        ],
    }


class Provider:
    """A provider: its source, a valid body, and the odds that an edit of the body leaves alone."""

    def __init__(
        self,
        make: Callable[[Any], Any],
        valid: Any,
        pull: Pull,
        untouched: Callable[[tuple[Any, ...]], Callable[[Place], bool]],
    ) -> None:
        self.http = Canned()
        self.source = make(self.http)
        self.valid = valid
        self.pull = pull
        self.untouched = untouched
        self.paths = [(), *paths(valid)]

    async def fetch(self, body: bytes) -> object:
        self.http.body = body
        return await self.source.fetch(self.pull)


def paths(value: Any) -> Iterator[tuple[Any, ...]]:
    parts: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, dict):
        parts = value.items()
    elif isinstance(value, list):
        parts = enumerate(value)
    for name, part in parts:
        yield (name,)
        for rest in paths(part):
            yield (name, *rest)


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for name in path:
        value = value[name]
    return value


def put(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = put(value[path[0]], path[1:], new)
    return copy


def of_the_odds_api(path: tuple[Any, ...]) -> Callable[[Place], bool]:
    """Return a test for odds that an edit leaves alone; a team's name bears on all its event."""
    if not path:
        return lambda _place: False
    event = f"{path[0] + 1:032x}"
    if len(path) < 3 or path[1] != "bookmakers":
        return lambda place: place[0] != event
    bookmaker = ("acme", "bold")[path[2]]
    if len(path) < 5 or path[3] != "markets":
        return lambda place: place[0] != event or place[2] != bookmaker
    market = ("h2h", "totals")[path[4]]
    return lambda place: place[0] != event or place[2] != bookmaker or place[3].market != market


def of_markets(
    depth: int, types: list[str]
) -> Callable[[tuple[Any, ...]], Callable[[Place], bool]]:
    """Like of_the_odds_api(), for bodies of one event with a list of markets at `depth`."""

    def untouched(path: tuple[Any, ...]) -> Callable[[Place], bool]:
        if len(path) <= depth or path[depth - 1] != "markets":
            return lambda _place: False
        return lambda place: place[3].market != types[path[depth]]

    return untouched


def of_bet9ja(path: tuple[Any, ...]) -> Callable[[Place], bool]:
    if len(path) < 3 or path[1] != "O":
        return lambda _place: False
    touched = "h2h" if path[2].startswith("S_1X2") else "totals"
    return lambda place: place[3].market != touched


PROVIDERS: Final = {
    "the-odds-api": Provider(
        lambda http: TheOddsApi(
            "toa", TheOddsApiSettings(sports=["soccer_epl"], api_key="k"), http  # type: ignore[arg-type]
        ),
        [odds_api_event(n) for n in (1, 2, 3)],
        Pull(key="soccer_epl"),
        of_the_odds_api,
    ),
    "sportybet": Provider(
        lambda http: SportyBet("toa", SportyBetSettings(), http),
        json.loads(
            bodies.sportybet(
                bodies.sportybet_market("1", {"1": "2.1", "2": "3.3", "3": "3.4"}),
                bodies.sportybet_market(
                    "18", {"12": "1.9", "13": "1.95"}, "total=2.5",
                    lastOddsChangeTime=1_778_052_961_313,
                ),
            )
        ),
        Pull(key="sr:match:123", event=True),
        of_markets(2, ["h2h", "totals"]),
    ),
    "betpawa": Provider(
        lambda http: BetPawa("toa", BetPawaSettings(), http),
        json.loads(
            bodies.betpawa(
                bodies.betpawa_market("3743", {"1": 2.1, "X": 3.3, "2": 3.4}),
                bodies.betpawa_market(
                    "5000", {"Over": 1.3, "Under": 3.4}, {"Over": 1.9, "Under": 1.8},
                    handicaps=(6, 10),
                ),
            )
        ),
        Pull(key="33289995", event=True),
        of_markets(1, ["h2h", "totals"]),
    ),
    "bet9ja": Provider(
        lambda http: Bet9ja("toa", Bet9jaSettings(), http),
        json.loads(
            bodies.bet9ja(
                {
                    "S_1X2_1": "2.1", "S_1X2_X": "3.3", "S_1X2_2": "3.4",
                    "S_OU@2.5_O": "1.9", "S_OU@2.5_U": "1.95",
                }
            )
        ),
        Pull(key="769895636", event=True),
        of_bet9ja,
    ),
}  # fmt: skip

ODD: Final[tuple[Any, ...]] = (
    None, "", "\0", "half \ud83d", "\u202eesreveR", "\x1b]0;title\x07", "a\tb", "x" * 300, "[/]",
    "*",
    "1e5", "NaN", "-1", "0", "1.0", "2_5", "٣", 0, 1, -1, 1.0, 0.5, 1.5, 100.0, 150, -110,
    2**31 - 1,
    2**63, -(2**63), 10**30, 1e308, -0.0, float("nan"), float("inf"),
    1_700_000_000, 1_700_000_000_000, "2026-08-04T12:00:00", "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-12:00", "1969-12-31T23:59:59Z", "2100-01-01T00:00:00Z",
    "0001-01-01 00:00:00", True, False, [], {}, [[]], {"data": []}, {"v": 2.0}, {"v": None},
    "the same", "different",
)  # fmt: skip
leaves: st.SearchStrategy[Any] = (
    st.sampled_from(range(len(ODD))).map(ODD.__getitem__)
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
)
json_like: st.SearchStrategy[Any] = (
    leaves | st.lists(leaves, max_size=2) | st.dictionaries(st.text(max_size=3), leaves, max_size=2)
)


def edited(provider: Provider, path: tuple[Any, ...], how: str, value: Any, number: int) -> bytes:
    """Return the valid body with one place edited."""
    valid = provider.valid
    if how == "put":
        body = put(valid, path, value)
    elif how == "wrap":
        body = put(valid, path, {"data": at(valid, path)})
    elif how == "repeat":  # an element of a list comes once more, changed in one place
        lists = [each for each in ((), *paths(valid)) if isinstance(at(valid, each), list)]
        lists = [each for each in lists if at(valid, each)]
        place = lists[number % len(lists)]
        element = at(valid, place)[0]
        inner = [each for each in paths(element) if isinstance(at(element, each), str | float)]
        if inner and value != "the same":
            changed = inner[number % len(inner)]
            element = put(element, changed, 5.5 if value == "different" else value)
        body = put(valid, place, [*at(valid, place), element])
    elif how == "many":  # more than the limits let pass
        lists = [each for each in ((), *paths(valid)) if isinstance(at(valid, each), list)]
        place = lists[number % len(lists)]
        found = at(valid, place)
        if found and isinstance(found[0], dict) and "id" in found[0]:
            found = [*found, *({**found[0], "id": f"made up {n}"} for n in range(12))]
        elif found and isinstance(found[0], dict) and "point" in found[0]:
            found = [{**each, "point": n + 0.5} for n in range(60) for each in found]
        else:
            found = found * 3
        body = put(valid, place, found)
    elif how == "rename" and path and isinstance(path[-1], str):
        parent = at(valid, path[:-1])
        odd = value if isinstance(value, str) else "odd"
        renamed = {odd if key == path[-1] else key: part for key, part in parent.items()}
        body = put(valid, path[:-1], renamed)
    elif how == "error":
        body = ERROR
    elif how == "line":  # a handicap or point that is none
        lines = [each for each in paths(valid) if each[-1] in {"handicap", "point", "specifier"}]
        body = (
            put(valid, lines[number % len(lines)], 1e30 if number % 2 else value) if lines else {}
        )
    elif how == "twice" and isinstance(valid, list):  # an event stands there twice
        body = [*valid, {**valid[0], "home_team": "Reds 1" if number % 2 else "Others"}]
    elif how == "cut":
        whole = json.dumps(valid).encode()
        return whole[: number % len(whole)]
    elif how == "page":
        return b"<html>blocked</html>" if value else b"busy"
    else:
        body = valid
    return json.dumps(body).encode()


HOWS: Final = (
    *["put"] * 8, *["repeat"] * 3, "rename", "many", "many", "wrap", "cut", "page", "error",
    "line", "twice",
)  # fmt: skip
ERROR: Final = {"message": "no", "error_code": "NO", "R": "X", "bizCode": 7}


class Looks:
    """Successive looks at one source, from the gate to the messages that a client decodes."""

    def __init__(self, counted: Counter[str]) -> None:
        self.stage = Stage()
        self.counted = counted
        self.gate = Gate("toa", LIMITS)
        self.minutes = 0

    def see(self, fetched: Callable[[], Any]) -> Observation:
        """Pass, apply and count one answer."""
        self.minutes += 1
        at_ = NOON + timedelta(minutes=self.minutes)
        problems: Counter[str] = Counter()
        try:
            found = fetched()
            observation = self.gate.check(found, problems, started_at=at_, observed_at=at_)
            observation = replace(observation, started_at=at_, observed_at=at_)
        except SourceError as error:
            failure = failure_of(error, LIMITS.max_retry_after_s)
            kind, reason = failure.kind, failure.reason
            problems[kind] += 1
            observation = Observation(
                source="toa", scope=Scope(), completeness=Completeness.FAILED, started_at=at_,
                observed_at=at_, reason=reason, problems=dict(problems),
            )  # fmt: skip
        self.stage.now = at_ + SECOND
        for part, present in slices(observation):
            self.stage.detector.apply(part, present)
        for name, times in observation.problems.items():
            assert times > 0
            self.counted[name] += 1
        return observation

    def shown(self) -> dict[Place, Shown]:
        """Return the cached odds, by the source's own ids of events."""
        own = {
            entry.event.id: entry.sources["toa"].source_event_id
            for entry in self.stage.cache.events.values()
        }
        return {
            (own[event], source, bookmaker, key): odds
            for (event, source, bookmaker, key), odds in cached(self.stage.cache.events).items()
        }

    def is_served(self) -> None:
        """Assert that every change survives storing and encoding."""
        log = self.stage.published()
        assert fold(log) == cached(self.stage.cache.events)
        for change in log:
            row = history_row(change)
            assert history_row(change_from(row)) == row
            decoded = pb.Change.FromString(encode.change_payload(change))
            assert decoded.revision == change.revision
            if isinstance(change, MarketChange):
                assert [(o.key, o.name) for o in decoded.after.outcomes] == [
                    (o.key, o.name) for o in change.after.outcomes
                ]
        for entry in self.stage.cache.events.values():
            assert encode.event_message(entry.event).name == entry.event.name
            for odds in entry.bookmakers.values():
                wire = encode.bookmaker_head(odds, 0, False) + encode.markets_wire(odds)
                decoded_odds = pb.BookmakerOdds.FromString(wire)
                for market, kept in zip(decoded_odds.markets, odds.markets.values(), strict=True):
                    prices = [o.price if o.HasField("price") else None for o in market.outcomes]
                    assert prices == [outcome.price for outcome in kept.outcomes]
        state = encode.source_message(self.stage.cache.sources["toa"])
        pb.SourceState.FromString(state.SerializeToString())


def look(name: str, number: int, how: str, value: Any, counted: Counter[str]) -> None:
    """Look at the valid answer, an edited one, and the valid one again."""
    provider = PROVIDERS[name]
    path = provider.paths[number % len(provider.paths)]
    body = edited(provider, path, how, value, number)
    valid = json.dumps(provider.valid).encode()
    looks = Looks(counted)

    def fetched(body: bytes) -> Callable[[], Any]:
        return lambda: trio.run(provider.fetch, body)

    assert not looks.see(fetched(valid)).problems
    before = looks.shown()
    assert before
    observation = looks.see(fetched(body))
    after = looks.shown()
    if observation.completeness is Completeness.FAILED:
        assert after == before
    elif how in {"put", "rename"}:
        keep = provider.untouched(path)
        kept = {place: odds for place, odds in before.items() if keep(place)}
        assert {place: after.get(place) for place in kept} == kept, path
    if observation.unreadable or any(
        event.unreadable or any(shown.unreadable for shown in event.bookmakers)
        for event in observation.events
    ):
        assert observation.problems
    assert not looks.see(fetched(valid)).problems
    again = looks.shown()
    assert {place: again.get(place) for place in before} == before
    looks.is_served()


# -- a plug-in's observation ---------------------------------------------------------------------

H2H, TOTALS = MarketKey("h2h"), MarketKey("totals", "2.5")
PLUGGED = [
    observed_event(
        event_id,
        {
            bookmaker: {H2H: {"home": 2.1, "draw": 3.3, "away": 3.4}, TOTALS: {"over": 1.9}}
            for bookmaker in ("acme", "bold")
        },
        home=f"Home {event_id}",
    )
    for event_id in ("one", "two")
]
FIELDS: Final = {
    Observation: Observation.__struct_fields__,
    ObservedEvent: ObservedEvent.__struct_fields__,
    ObservedBookmaker: ObservedBookmaker.__struct_fields__,
    Outcome: Outcome.__struct_fields__,
}
ODD_VALUES: Final[tuple[Any, ...]] = (
    *ODD, object(), b"bytes", {1, 2}, (1, 2), 1j, NOON, NOON.replace(tzinfo=None), H2H, TOTALS,
    PLUGGED[0], PLUGGED[0].bookmakers[0], EventStatus.ENDED, MarketStatus.REMOVED,
    Outcome("home", "Home", float("inf")), frozenset({"a\0"}), frozenset({7}), SystemExit,
)  # fmt: skip


def plugged(number: int, odd: Any) -> tuple[object, Callable[[Place], bool]]:
    """Return an observation with one odd value, and a test for the odds it leaves alone."""
    given = Observation(
        source="toa", scope=Scope(listing="all"), completeness=Completeness.COMPLETE,
        started_at=NOON, observed_at=NOON, events=tuple(PLUGGED),
    )  # fmt: skip
    kinds = list(FIELDS)
    kind = kinds[number % len(kinds)]
    field = FIELDS[kind][number // len(kinds) % len(FIELDS[kind])]
    event, shown = PLUGGED[0], PLUGGED[0].bookmakers[0]
    if kind is Observation:
        return replace(given, **{field: odd}), lambda _place: False
    if kind is ObservedEvent:
        event, keep = replace(event, **{field: odd}), _not("one", "", "")
    elif kind is ObservedBookmaker:
        shown, keep = replace(shown, **{field: odd}), _not("one", "acme", "")
        event = replace(event, bookmakers=(shown, *event.bookmakers[1:]))
    else:
        market = shown.markets[H2H]
        outcome = replace(market.outcomes[0], **{field: odd})
        market = replace(market, outcomes=(outcome, *market.outcomes[1:]))
        shown = replace(shown, markets={**shown.markets, H2H: market})
        event = replace(event, bookmakers=(shown, *event.bookmakers[1:]))
        keep = _not("one", "acme", "h2h")
    return replace(given, events=(event, PLUGGED[1])), keep


def _not(event: str, bookmaker: str, market: str) -> Callable[[Place], bool]:
    return lambda place: (
        place[0] != event
        or (bool(bookmaker) and place[2] != bookmaker)
        or (bool(market) and place[3].market != market)
    )


def look_at_a_plug_in(number: int, odd: Any, counted: Counter[str]) -> None:
    looks = Looks(counted)
    right, _ = plugged(0, "toa")
    looks.see(lambda: right)
    before = looks.shown()
    assert len(before) == 8
    given, keep = plugged(number, odd)
    observation = looks.see(lambda: given)
    after = looks.shown()
    if observation.completeness is Completeness.FAILED:
        assert after == before
    elif len(observation.events) == 2:
        kept = {place: odds for place, odds in before.items() if keep(place)}
        assert {place: after.get(place) for place in kept} == kept
    looks.see(lambda: right)
    again = looks.shown()
    assert {place: again.get(place) for place in before} == before
    looks.is_served()


quick = settings(
    max_examples=EXAMPLES, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)  # fmt: skip


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with structlog.testing.capture_logs():
        yield


@pytest.mark.parametrize("name", PROVIDERS)
def test_anything_in_an_answer_leaves_its_neighbours_exact(name: str) -> None:
    counted: Counter[str] = Counter()

    @quick
    @given(number=st.integers(0, 2**16), how=st.sampled_from(HOWS), value=json_like)
    def examples(number: int, how: str, value: Any) -> None:
        look(name, number, how, value, counted)

    examples()
    assert counted.keys() <= NAMES


def test_anything_in_a_plug_ins_observation_leaves_its_neighbours_exact() -> None:
    counted: Counter[str] = Counter()

    @quick
    @given(number=st.integers(0, 2**16), place=st.sampled_from(range(len(ODD_VALUES))))
    def examples(number: int, place: int) -> None:
        look_at_a_plug_in(number, ODD_VALUES[place], counted)

    examples()
    assert counted.keys() <= NAMES | {"ODD"}


@pytest.mark.long
def test_each_problem_occurs_and_none_of_them_spreads() -> None:
    """Over LONG_EXAMPLES examples each name of a problem occurs at least OFTEN times."""
    counted: Counter[str] = Counter()
    done: Counter[str] = Counter()
    many = settings(
        max_examples=LONG_EXAMPLES, deadline=None, database=None,
        phases=[Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    kinds = [*PROVIDERS, "plug-in"]

    @many
    @given(
        kind=st.sampled_from(range(len(kinds))),
        number=st.integers(0, 2**16),
        how=st.sampled_from(HOWS),
        value=json_like,
        place=st.sampled_from(range(len(ODD_VALUES))),
    )
    def examples(kind: int, number: int, how: str, value: Any, place: int) -> None:
        done[kinds[kind]] += 1
        if kinds[kind] == "plug-in":
            look_at_a_plug_in(number, ODD_VALUES[place], counted)
        else:
            look(kinds[kind], number, how, value, counted)

    examples()
    print(f"examples: {dict(done)}; problems: {dict(counted.most_common())}")  # noqa: T201
    assert {name: counted[name] for name in NAMES if counted[name] < OFTEN} == {}
