"""The client decodes every field that the server encodes."""

from msgspec.structs import fields, replace

from odds_service.client import (
    MarketKey,
    UnknownChange,
    decode,
)
from odds_service.client.decode import historical_change
from odds_service.model.event import Event, EventStatus
from odds_service.model.overround import BestMarket, BestPrice, Exclusion
from odds_service.model.snapshot import BookmakerOdds, EventOdds, Reading
from odds_service.serving.calls import _best_message
from odds_service.wire.encode import event_message
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.support.observations import NOON

FULL = Event(
    id="e", sport="icehockey", competition="shl", home="Home", away="Away", start_time=NOON,
    status=EventStatus.IN_PLAY, source_ids={"toa": "1", "site": "2"}, merged_into="f",
    told={"toa": EventStatus.SCHEDULED, "site": EventStatus.IN_PLAY},
    draws_lost=(("site", "b", "h2h"), ("toa", "b", "h2h_p1")),
)  # fmt: skip


OUTRIGHT = replace(FULL, home="", away="", title="Masters Winner")


def test_every_field_of_an_event_comes_back() -> None:
    for event in (FULL, OUTRIGHT):
        message = pb.Event.FromString(event_message(event).SerializeToString())
        assert decode.event(message) == event
        assert message.name == event.name
    for field in fields(Event):  # a new one fails here until it is carried
        assert any(getattr(event, field.name) for event in (FULL, OUTRIGHT)), field.name


def test_a_told_status_that_is_newer_than_the_client_disagrees_with_none() -> None:
    message = event_message(FULL)
    message.told["toa"] = 9  # type: ignore[assignment]  # as a newer server may send
    assert decode.event(message).told == {"site": EventStatus.IN_PLAY}


def test_every_field_of_a_best_market_comes_back() -> None:
    place = "toa", "b"
    believed = BestMarket(
        MarketKey("totals", "2.5"),
        ("over",),
        (BestPrice("over", "Over", 2.0, *place, NOON),),
        {place: 0.01},
        -0.01,
        {("toa", reason.name): reason for reason in Exclusion},
    )
    suspect = replace(
        believed,
        combined_overround=None,
        suspect_overround=-0.2,
        suspect_reasons=("below_limit", "old_leg"),
    )
    odds = BookmakerOdds(1, "e", *place, NOON, NOON, None, {})
    entry = EventOdds(Event(id="e", sport="soccer", competition="", home="", away="",
                            start_time=NOON), {}, {place: odds})  # fmt: skip
    for best in (believed, suspect):
        told = _best_message(best, entry, Reading(NOON))
        message = pb.BestMarket.FromString(told.SerializeToString())
        assert decode.best_market(message, {place: NOON}) == best


def test_a_refused_row_of_history_is_told_as_unknown() -> None:
    change = pb.Change(revision=7, kind=pb.CHANGE_KIND_UNSTORED, event_id="e")
    found = historical_change(change)
    assert isinstance(found, UnknownChange)
    assert (found.revision, found.event_id) == (7, "e")
