"""Checks of a newly opened source: an invalid one is refused at the start."""

from typing import Any

import pytest

from odds_service.errors import SettingsError
from odds_service.model.asks import Asks, Form
from odds_service.sources.access import Access
from odds_service.sources.base import Pace, Tier
from odds_service.sources.opened import check_source


class Opened:
    kind = "acme"

    def __init__(self, pace: Any, name: Any = "acme") -> None:
        self.name, self.pace = name, pace


def tier(**fields: Any) -> Tier:
    return Tier(**{"name": "all", "within_s": None, "interval_s": 1.0, "target_s": 2.0} | fields)


@pytest.mark.parametrize(
    "pace",
    [
        None,
        30,
        Pace(tiers=()),
        Pace(tiers=[tier()]),  # type: ignore[arg-type]  # what is tested
        Pace(tiers=(tier(within_s=3.0),)),
        Pace(tiers=(tier(interval_s=float("inf")),)),
        Pace(tiers=(tier(interval_s=float("nan")),)),
        Pace(tiers=(tier(interval_s=0.0),)),
        Pace(tiers=(tier(target_s=1e300),)),
        Pace(tiers=(tier(interval_s="1"),)),
        Pace(tiers=(tier(within_s=-1.0), tier())),
        Pace(tiers=(tier(),), concurrency=0),
        Pace(tiers=(tier(),), concurrency=True),
        Pace(tiers=(tier(),), discovery_s=float("inf")),
        Pace(tiers=(tier(),), requests_per_s=0.0),
        Pace(tiers=(tier(),), quota_per_day=float("nan")),
        Pace(tiers=(tier(),), by_event=1),  # type: ignore[arg-type]  # what is tested
    ],
    ids=lambda pace: repr(pace)[-70:],
)
def test_a_pace_that_cannot_be_kept_is_refused_at_the_start(pace: Any) -> None:
    check_source(Opened(Pace.steady(1.0)), "acme")  # type: ignore[arg-type]  # a part of one
    with pytest.raises(SettingsError, match=r"sources \(acme\)"):
        check_source(Opened(pace), "acme")  # type: ignore[arg-type]  # a part of one


def test_a_source_must_have_the_name_that_it_was_given() -> None:
    with pytest.raises(SettingsError, match="calls itself 'other'"):
        check_source(Opened(Pace.steady(1.0), "other"), "acme")  # type: ignore[arg-type]


class Telling(Opened):
    """A source whose `asks` returns or raises a given value."""

    def __init__(self, gives: Any) -> None:
        super().__init__(Pace.steady(1.0))
        self._gives = gives

    def asks(self) -> Any:
        if isinstance(self._gives, BaseException):
            raise self._gives
        return self._gives


@pytest.mark.parametrize(
    "gives",
    [
        None,
        {"forms": {}},
        KeyError("a plug-in's own"),
        Asks(listings=[1, 2]),  # type: ignore[arg-type]  # what is tested
        Asks(forms={"all": {"markets": "h2h"}}),  # type: ignore[dict-item]  # what is tested
        Asks(sports=frozenset({object()})),  # type: ignore[arg-type]  # what is tested
    ],
    ids=range(6),
)
def test_asks_that_cannot_be_stored_are_refused_at_the_start(gives: Any) -> None:
    asks = Asks(forms={"all": Form(markets=frozenset({"h2h"}))}, listings=frozenset({"epl"}))
    check_source(Telling(asks), "acme")  # type: ignore[arg-type]  # a part of one
    with pytest.raises(SettingsError, match=r"sources \(acme\): its asks"):
        check_source(Telling(gives), "acme")  # type: ignore[arg-type]  # a part of one


def test_an_access_that_is_none_is_refused_at_the_start() -> None:
    source = Opened(Pace.steady(1.0))
    source.access = Access()  # type: ignore[attr-defined]  # optional in a plug-in
    check_source(source, "acme")  # type: ignore[arg-type]  # a part of one
    source.access = "full"  # type: ignore[attr-defined]  # what is tested
    with pytest.raises(SettingsError, match=r"sources \(acme\): its access is not an Access"):
        check_source(source, "acme")  # type: ignore[arg-type]  # a part of one
