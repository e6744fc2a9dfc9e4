"""Every field of the proto survives the way from the wire into values and rows, and back.

The messages are filled from the descriptor (`filling.py`), so a new field of the proto fails a test
here until the encoder, the client, the database rows and the model carry it, or a table below names
it as an exception. `CARRIED`, `READ`, `STREAMED`, `ASKED` and `REPORTED` together name every
message of the contract.
"""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path as FilePath
from typing import Any, Final, TypeVar

import pytest
from google.protobuf.message import Message
from msgspec import Struct
from msgspec.structs import replace

from odds_service.client import decode, market_values, run_values, series_values
from odds_service.client.errors import StreamGap
from odds_service.client.market_decoding import moment
from odds_service.client.odds_map import OddsMap
from odds_service.client.requests import filter_message
from odds_service.client.values import Filter
from odds_service.clock import ClockState
from odds_service.model import change as changes
from odds_service.model import snapshot
from odds_service.model.change import Change, ChangeKind, Commit
from odds_service.model.market import MarketKey
from odds_service.model.match import Match, ShownEvent
from odds_service.model.snapshot import EventSource
from odds_service.model.source import SourceState
from odds_service.status import (
    DELAY_BUCKETS_S,
    BusReport,
    ChannelFill,
    ClockReport,
    DelayReport,
    Disk,
    LoopReport,
    ServiceStatus,
    SourceReport,
    StorageReport,
    TierFreshness,
    WriterReport,
)
from odds_service.storage.rows.history import change_from, history_row
from odds_service.store import WriteGroup
from odds_service.wire import encode
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.contract.filling import Path, cleared, filled, paths, unset
from tests.support.databases import SqlitePlace
from tests.support.observations import observe, offered
from tests.support.odds_builders import Bookkeeping, connected, serving

S = TypeVar("S", bound=Struct)

ALL: Final = 10**9
# The fields that a change of each subject lacks. All changes have the other fields.
NOT_OF_MARKETS: Final = ("event", "source_state")
NOT_OF_EVENTS: Final = (
    "bookmaker", "after", "before", "other_line", "snapshot_id", "source_state",
)  # fmt: skip
NOT_OF_SOURCES: Final = (
    "event_id", "bookmaker", "after", "before", "other_line", "snapshot_id", "event",
)  # fmt: skip
# A stream's change may stand for several; a row of history is always one change.
ONLY_STREAMED: Final = ("conflated_count", "suspended_meanwhile")

CARRIED: Final[tuple[type[Message], ...]] = (
    pb.Cursor, pb.Event, pb.DrawLost, pb.MarketKey, pb.Outcome, pb.Market, pb.BookmakerOdds,
    pb.EventOdds, pb.SourceState, pb.Change, pb.SourceMatch,
)  # fmt: skip
ASKED: Final[tuple[type[Message], ...]] = (
    pb.Filter, pb.GetOddsRequest, pb.WatchChangesRequest, pb.ListEventsRequest,
    pb.GetHistoryRequest, pb.GetClosingOddsRequest, pb.RefreshEventRequest, pb.GetStatusRequest,
    pb.GetSeriesRequest, pb.ListMarketsRequest, pb.GetCoverageRequest, pb.ListUnmappedRequest,
    pb.ListRunsRequest, pb.ReloadRequest, pb.ReplayRequest,
)  # fmt: skip
STREAMED: Final[tuple[type[Message], ...]] = (
    pb.WatchChangesResponse, pb.Opened, pb.Changes, pb.Heartbeat, pb.ImageBegin, pb.Image,
    pb.ImageEnd, pb.Lagged, pb.Closing, pb.Freshness, pb.OddsFreshness,
    pb.ReplayResponse, pb.ReplayEnd,
)  # fmt: skip
REPORTED: Final[tuple[type[Message], ...]] = (
    pb.FreshnessStatus, pb.SourceStatus, pb.ChannelStatus, pb.WriterStatus, pb.SubscriberStatus,
    pb.GetStatusResponse, pb.ClockStatus, pb.DelayStatus, pb.StorageStatus, pb.DiskStatus,
    pb.LoopStatus, pb.TokenUsage, pb.NodeStatus,
)  # fmt: skip


def same_fields(kind: type[S], value: Any, /, **others: Any) -> S:
    """Return a value of another type with the fields that both types share by name."""
    shared = {name: getattr(value, name) for name in kind.__struct_fields__ if hasattr(value, name)}
    return kind(**shared | others)


def told_event(**without: Any) -> pb.Event:
    event = filled(pb.Event, **without)
    event.name = " – ".join(side for side in (event.home, event.away) if side) or event.name
    return event


def told_change(kind: int, without: tuple[str, ...]) -> pb.Change:
    change = filled(pb.Change, without=without)
    change.kind = pb.ChangeKind.ValueType(kind)
    if change.HasField("before"):
        change.before.key.CopyFrom(change.after.key)
    if change.HasField("event"):
        change.event.name = f"{change.event.home} – {change.event.away}"
        change.event_id = change.event.id
    if change.HasField("source_state"):
        change.source, change.reason = change.source_state.source, change.source_state.reason
    return change


def model_change(message: pb.Change) -> Change:
    """Return the model's form of a change, decoded by the client."""
    told = decode.historical_change(message)
    if message.HasField("after"):
        return same_fields(changes.MarketChange, told, kind=ChangeKind(message.kind))
    kind = ChangeKind(message.kind)
    if message.HasField("event"):
        event = decode.event(message.event)
        return same_fields(changes.EventChange, told, kind=kind, before=None, after=event)
    state = model_state(message.source_state)
    return same_fields(
        changes.SourceChange, told, kind=kind, source=state.source, before=None, after=state
    )


def model_state(message: pb.SourceState) -> SourceState:
    return same_fields(SourceState, decode.source_state(message), interval_s=60.0)


def sent(change: Change, told: pb.Change) -> pb.Change:
    """Return the message of a change that stands for as many changes as `told` says."""
    text = encode.conflated_wire(change, told.conflated_count, told.suspended_meanwhile)
    (message,) = pb.Changes.FromString(text).changes
    return message


CHANGES: Final = [
    (2, NOT_OF_MARKETS),
    (7, (*NOT_OF_EVENTS, "suspended_meanwhile")),
    (10, (*NOT_OF_SOURCES, "suspended_meanwhile")),
]


def test_every_message_of_the_contract_is_in_one_table() -> None:
    named = [*CARRIED, *READ, *STREAMED, *ASKED, *REPORTED]
    assert len(named) == len(set(named))
    assert {kind.DESCRIPTOR.name for kind in named} == set(pb.DESCRIPTOR.message_types_by_name)


def test_every_field_of_a_change_is_of_some_subject() -> None:
    fields = set(pb.Change.DESCRIPTOR.fields_by_name)
    assert set(NOT_OF_MARKETS) & set(NOT_OF_EVENTS) & set(NOT_OF_SOURCES) == set()
    assert {*NOT_OF_MARKETS, *NOT_OF_EVENTS, *NOT_OF_SOURCES, *ONLY_STREAMED} <= fields


@pytest.mark.parametrize(("kind", "without"), CHANGES)
def test_a_change_goes_into_values_and_back(kind: int, without: tuple[str, ...]) -> None:
    told = told_change(kind, without)
    assert sent(model_change(told), told) == told


@pytest.mark.parametrize(("kind", "without"), CHANGES)
def test_a_change_goes_into_a_row_and_back(kind: int, without: tuple[str, ...]) -> None:
    told = told_change(kind, (*without, *ONLY_STREAMED))
    change = model_change(told)
    read = change_from(history_row(change))
    assert read == change
    assert sent(read, told) == told


@pytest.mark.parametrize("without", [(), ("home", "away")])
def test_an_event_goes_into_a_value_and_back(without: tuple[str, ...]) -> None:
    told = told_event(without=without)
    assert encode.event_message(decode.event(told)) == told


def test_odds_go_into_values_and_back() -> None:
    told = filled(pb.BookmakerOdds)
    odds = same_fields(snapshot.BookmakerOdds, decode.bookmaker_odds("e", told))
    head = encode.bookmaker_head(odds, told.snapshot_id, told.stale)
    entry = pb.EventOdds.FromString(encode.bookmaker_field(head, encode.markets_wire(odds)))
    assert list(entry.bookmakers) == [told]


def test_cursors_and_matches_go_into_values_and_back() -> None:
    cursor = filled(pb.Cursor)
    assert encode.cursor_message(decode.cursor(cursor)) == cursor
    match = filled(pb.SourceMatch)
    (read,) = decode.listed_event(pb.ListedEvent(matches=[match])).matches
    start = read.start_time
    assert start is not None
    event = told_event()
    shown = ShownEvent(event.sport, read.competition, read.home, read.away, start, start)
    carried = EventSource(
        read.source, read.source_event_id, None, None, shown=shown,
        match=Match(read.score, read.reason),
    )  # fmt: skip
    assert encode.match_message(carried) == match


async def test_all_of_it_goes_through_a_database_and_back(tmp_path: FilePath) -> None:
    """Write an event, its odds and a source; read them as history and at a start."""
    place = SqlitePlace(tmp_path)
    added = told_change(6, (*NOT_OF_EVENTS, *ONLY_STREAMED))
    market = told_change(1, (*NOT_OF_MARKETS, *ONLY_STREAMED, "before"))
    state = told_change(10, (*NOT_OF_SOURCES, *ONLY_STREAMED))
    odds = filled(pb.BookmakerOdds)
    added.event.status = pb.EVENT_STATUS_IN_PLAY  # a start does not serve ended events
    added.event_id, market.event_id = added.event.id, added.event.id
    market.source, market.bookmaker = odds.source, odds.bookmaker
    market.snapshot_id = odds.snapshot_id = 2
    market.after.revision = 2
    market.after.changed_at.CopyFrom(market.observed_at)
    odds.ClearField("markets")
    odds.markets.append(market.after)
    told = [added, market, state]
    for number, each in enumerate(told, 1):
        each.revision = number
        each.detected_at.FromSeconds(added.detected_at.seconds)
    held = same_fields(snapshot.BookmakerOdds, decode.bookmaker_odds(added.event_id, odds))
    carried = EventSource(odds.source, "7", "soccer", None)
    commit = Commit(
        [model_change(each) for each in told], [held.snapshot()], [(added.event_id, carried)]
    )
    async with place.begun() as (store, _stored):
        assert await store.write(WriteGroup([commit])) == 0
        history = await store.history(0, ALL, ALL)
    async with place.begun() as (_store, stored):
        pass
    assert [sent(change, each) for change, each in zip(history, told, strict=True)] == told
    (entry,) = stored.events
    assert encode.event_message(entry.event) == added.event
    (read,) = entry.bookmakers.values()
    head = encode.bookmaker_head(read, odds.snapshot_id, odds.stale)
    whole = pb.EventOdds.FromString(encode.bookmaker_field(head, encode.markets_wire(read)))
    assert list(whole.bookmakers) == [odds]
    (source,) = [each for each in stored.sources if each.source == state.source]
    assert encode.source_message(source) == state.source_state


# --- what the client reads


def closed(page: pb.ClosingOddsPage) -> object:
    return list(decode.closed_events([page]))


def market_type(message: pb.MarketType) -> object:
    return market_values.market_types(pb.ListMarketsResponse(markets=[message]))


def history(page: pb.HistoryPage) -> object:
    return decode.cursor(page.cursor), list(decode.history_page(page))


READ: Final[dict[type[Message], tuple[Callable[[Any], object], set[Path]]]] = {
    # Message -> its reader, and the fields that the client does not use.
    pb.BestMarket: (lambda message: best(message), {("prices", "age")}),
    pb.BestPrice: (
        lambda message: best(pb.BestMarket(prices=[message])),
        {("age",)},  # derived from the odds of the same reply
    ),
    pb.BookmakerOverround: (lambda message: best(pb.BestMarket(overrounds=[message])), set()),
    pb.Exclusion: (lambda message: best(pb.BestMarket(exclusions=[message])), set()),
    pb.GetOddsResponse: (
        decode.odds,
        {("events", "best", "prices", "age"), ("events", "event", "name")},
    ),
    pb.ListedEvent: (decode.listed_event, {("event", "name")}),
    pb.ListedBookmaker: (
        lambda message: decode.listed_event(pb.ListedEvent(bookmakers=[message])), set()
    ),
    pb.ListEventsResponse: (
        lambda message: [decode.listed_event(each) for each in message.events],
        {("events", "event", "name"), ("next_page_token",), ("cursor",), ("cursor", "epoch"),
         ("cursor", "revision")},  # the client itself turns the pages
    ),
    pb.HistoryPage: (
        history,
        {("durable_revision",), ("columns",)},  # client.frames reads these
    ),
    pb.ClosingOdds: (
        lambda message: closed(pb.ClosingOddsPage(events=[pb.ClosedEvent(odds=[message])])), set()
    ),
    pb.ClosedEvent: (
        lambda message: closed(pb.ClosingOddsPage(events=[message])), {("event", "name")}
    ),
    pb.ClosingOddsPage: (closed, {("events", "event", "name")}),
    pb.RefreshedSnapshot: (
        lambda message: decode.refreshed(pb.RefreshEventResponse(snapshots=[message])),
        {("observed_at",), ("confirmed_at",), ("changed",)},  # the odds and changes have them
    ),
    pb.RefreshedSource: (
        lambda message: decode.refreshed(pb.RefreshEventResponse(sources=[message])), set()
    ),
    pb.ReloadResponse: (decode.reloaded, set()),
    pb.PriceColumn: (
        lambda message: series_values.price_series(
            pb.GetSeriesResponse(series=[pb.Series(prices=[message])])
        ),
        set(),
    ),
    pb.Series: (
        lambda message: series_values.price_series(pb.GetSeriesResponse(series=[message])), set()
    ),
    pb.GetSeriesResponse: (
        series_values.price_series,
        {("event", "name")},
    ),
    pb.OutcomeLabel: (
        lambda message: market_type(pb.MarketType(outcomes=[message])), set()
    ),
    pb.MarketType: (lambda message: market_type(message), set()),
    pb.MarketGroup: (
        lambda message: market_values.market_types(pb.ListMarketsResponse(groups=[message])),
        set(),
    ),
    pb.ListMarketsResponse: (market_values.market_types, set()),
    pb.BookmakerCoverage: (
        lambda message: market_values.coverage(
            pb.GetCoverageResponse(competitions=[pb.Coverage(bookmakers=[message])])
        ),
        set(),
    ),
    pb.Coverage: (
        lambda message: market_values.coverage(pb.GetCoverageResponse(competitions=[message])),
        set(),
    ),
    pb.GetCoverageResponse: (market_values.coverage, set()),
    pb.UnmappedSample: (
        lambda message: market_values.unmapped(
            pb.ListUnmappedResponse(markets=[pb.UnmappedMarket(samples=[message])])
        ),
        set(),
    ),
    pb.UnmappedMarket: (
        lambda message: market_values.unmapped(pb.ListUnmappedResponse(markets=[message])), set()
    ),
    pb.ListUnmappedResponse: (market_values.unmapped, set()),
    pb.Run: (run_values.run, set()),
    pb.ListRunsResponse: (
        lambda message: [run_values.run(each) for each in message.runs],
        {("next_page_token",)},  # the client fetches all pages
    ),
    pb.RefreshEventResponse: (
        decode.refreshed,
        {("snapshots", "observed_at"),
         ("snapshots", "confirmed_at"), ("snapshots", "changed")},
    ),
}  # fmt: skip


def best(message: pb.BestMarket) -> object:
    at = moment(filled(pb.Event).start_time)
    return decode.best_market(message, _Confirmed(at))


class _Confirmed(dict[tuple[str, str], datetime]):
    """A confirmation time for the odds of every event and bookmaker."""

    def __init__(self, at: datetime) -> None:
        self._at = at

    def __missing__(self, key: tuple[str, str]) -> datetime:
        return self._at + timedelta(seconds=len(key[0]))


def read_whole(kind: type[Message]) -> Any:
    """Return a filled message whose parts belong together, as in one that the server sends."""
    message: Any = filled(kind)
    if isinstance(message, pb.GetOddsResponse):
        for entry in message.events:
            for odds, price in zip(entry.bookmakers, entry.best[0].prices, strict=True):
                price.source, price.bookmaker = odds.source, odds.bookmaker
    return message


@pytest.mark.parametrize("kind", READ, ids=lambda kind: kind.DESCRIPTOR.name)
def test_every_field_that_is_read_makes_a_difference(kind: type[Message]) -> None:
    """A reader that ignores a field returns the same value without it."""
    read, unused = READ[kind]
    whole = read_whole(kind)
    value = read(whole)
    lost = {path for path in paths(kind.DESCRIPTOR) if same(read, cleared(whole, path), value)}
    assert lost - _of_other_subjects(lost) == unused


def same(read: Callable[[Any], object], message: Message, value: object) -> bool:
    try:
        return read(message) == value
    except KeyError:  # without the field, parts no longer belong together
        return False


def _of_other_subjects(found: Iterable[Path]) -> set[Path]:
    """Return paths into subjects that a market's change lacks; tests above cover them."""
    return {
        path
        for path in found
        for place, name in enumerate(path)
        if path[:place][-1:] == ("changes",) and name in NOT_OF_MARKETS
    }


# --- what a stream tells

# Message -> the fields that the client does not use: it asked for the policy itself, needs no
# second count of a window, and derives an event's name. READ covers the odds of images, CARRIED
# those of changes.
UNUSED: Final[dict[str, set[Path]]] = {
    "opened": {("policy",)},
    "image_begin": {("durable_revision",), ("cursor", "epoch")},
    "image": {("events", "best"), ("events", "event", "name"), ("cursor", "epoch")},
    "lagged": {("cursor", "epoch")},
}


def told_stream(*, image: bool) -> dict[str, Any]:
    """Return one message of each type, in an order that a server may send."""
    names = ["opened", "freshness", "changes", "heartbeat", "closing"]
    if image:
        names[1:1] = ["image_begin", "image", "image_end"]
        names[-1:] = ["lagged", "closing"]  # another image is due when the server stops
    types = {
        "opened": pb.Opened, "image_begin": pb.ImageBegin, "image": pb.Image,
        "image_end": pb.ImageEnd, "freshness": pb.Freshness, "changes": pb.Changes,
        "heartbeat": pb.Heartbeat, "lagged": pb.Lagged, "closing": pb.Closing,
    }  # fmt: skip
    parts: dict[str, Any] = {name: filled(types[name]) for name in names}
    parts["opened"].intent = pb.INTENT_IMAGE if image else pb.INTENT_UP_TO_DATE
    for revision, part in enumerate(parts.values(), 7):
        part.cursor.revision = revision
        if part is not parts["opened"]:
            part.prev_revision = revision - 1
    shown = told_image() if image else None
    if shown is not None:
        parts["image"].CopyFrom(pb.Image(events=shown.events, piece=1, cursor=parts["image"].cursor,
                                         prev_revision=parts["image"].prev_revision))  # fmt: skip
        parts["image_end"].pieces = parts["image_end"].events = parts["image_end"].markets = 1
        odds = shown.events[0].bookmakers[0]
        for each in (parts["freshness"].odds[0], parts["changes"].changes[0]):
            each.event_id = shown.events[0].event.id
            each.source, each.bookmaker = odds.source, odds.bookmaker
    return parts


def told_image() -> pb.Image:
    image = filled(pb.Image)
    image.events[0].ClearField("best")
    return image


def fold(parts: dict[str, Any]) -> list[object]:
    """Fold a whole stream; return each step with the state of the map after it."""
    odds = OddsMap(None)
    seen: list[object] = []
    for name, part in parts.items():
        try:
            step = odds.take(pb.WatchChangesResponse(**{name: part}))
        except (StreamGap, KeyError) as error:  # the client noticed the loss
            return [*seen, type(error)]
        seen += [step, dict(odds.events), dict(odds.sources), odds.cursor, odds.durable_revision]
    return seen


def lost_in(name: str, *, image: bool) -> set[Path]:
    """Return the fields of one message that make no difference to the client."""
    parts = told_stream(image=image)
    whole = fold(parts)
    assert len(whole) == 5 * len(parts)  # the stream was read to its end
    return {
        path
        for path in paths(parts[name].DESCRIPTOR)
        if fold(parts | {name: cleared(parts[name], path)}) == whole
    }


@pytest.mark.parametrize("name", list(told_stream(image=True)))
def test_every_field_of_a_stream_makes_a_difference(name: str) -> None:
    lost = lost_in(name, image=True)
    if name in told_stream(image=False):  # with an image due, some fields tell nothing new
        lost &= lost_in(name, image=False)
    lost -= {path for path in lost if path[:2] == ("events", "best") and path[2:]}
    assert lost - _of_other_subjects(lost) == UNUSED.get(name, set())


def test_a_stream_has_no_other_messages() -> None:
    (choice,) = pb.WatchChangesResponse.DESCRIPTOR.oneofs
    assert {field.name for field in choice.fields} == set(told_stream(image=True))
    assert len(pb.WatchChangesResponse.DESCRIPTOR.fields) == len(choice.fields)


# --- what the service reports about itself


class Told(Bookkeeping):
    """A book with a status in which no field has its default."""

    def status(self) -> ServiceStatus:
        counts = [1] * (len(DELAY_BUCKETS_S) + 1)
        tier = TierFreshness(
            tier="day", target_s=60.0, pulls=9, fresh=8, in_time=7, late=6,
            delays=[DelayReport("observed_sent", counts, 1.0, counts)],
        )  # fmt: skip
        source = SourceReport(
            state=model_state(filled(pb.SourceState)), kind="k", next_due_at=self.now,
            pulls=5, failures=4, problems={"bad_price": 3}, latency_s=0.5, freshness=[tier],
            mapped=2, unmapped=1, unmapped_names={"own name": 1},
            new_events=11, new_events_left_out=12, changes=13, answers_left_out=14,
            clock_ahead=1, clock_behind=2,
        )  # fmt: skip
        source = replace(source, state=replace(source.state, source="toa"))
        return replace(
            super().status(),
            now=self.now + timedelta(hours=1),
            sources=[source],
            channels=[ChannelFill("write", 1, 2, "changes")],
            writer=WriterReport(
                state="retrying", reason="away", lag_s=1.0, pending_changes=2, retries=3,
                dead_letters=4, bridged_s=5.0,
            ),
            markets=1,
            clock=ClockReport(
                state=ClockState(1, 2.0, self.now, True, 3, 4.0), lead_s=5.0, holds=True
            ),
            storage=StorageReport(
                measured_at=self.now, parts={"database": 1}, disks=[Disk("database", 1, 2)],
                growth_bytes_per_day=1.0, growth_span_s=3_600.0,
            ),
            loop=LoopReport(
                stalls=1, stalled_s=2.0, longest_s=3.0, last_task="pull of toa", last_place="m:f:1",
                last_at=self.now, pauses=4, paused_s=5.0,
            ),
            log_lines_lost=6,
            bus=BusReport(
                role="read", state="away", reason="r", messages=1, pending_changes=2, capacity=3,
                acknowledged=4, ack_total_s=5.0, tails_rewritten=6, sequence=7, sequence_lag=8,
                lag_s=9.0, clock_ahead_s=10.0, rebuilds=11, upstream="u", upstream_age_s=12.0,
                fenced=True,
            ),
        )  # fmt: skip


async def test_every_field_of_a_status_is_told() -> None:
    book = Told()
    offer = offered({"e": {"b": {MarketKey("h2h"): {"home": 1.5, "away": 2.5}}}})
    book.see(observe(offer))
    async with serving(book) as server:
        with connected(server.address) as client, client.watch() as stream:
            await stream.until("image_end")
            status = await client.call("GetStatus", pb.GetStatusRequest())
    # This reader is at the head and reads from memory.
    at_rest = {("subscribers", name) for name in ("lag_changes", "lag_s", "replaying")}
    at_rest |= {("usage", name) for name in ("changes", "refreshes")}  # nothing was sent or fetched
    assert set(unset(status)) == at_rest


# --- what is asked


def test_every_field_of_a_filter_can_be_asked_for() -> None:
    told = filled(pb.Filter)
    where = Filter(
        **{name: list(getattr(told, name)) for name in
           ("sports", "competitions", "event_ids", "bookmakers", "markets", "sources")},
        start_from=moment(told.start_from), start_to=moment(told.start_to),
        in_play=told.in_play,
    )  # fmt: skip
    assert filter_message(where) == told
