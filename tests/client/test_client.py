"""The client's exported names, of which none of an earlier release may go."""

from typing import Final

import pytest

from odds_service import client
from odds_service.client import values

_EXPORTED_BY_0_1: Final = """
    EVERYTHING SUSPECT_BELOW Address AddressError AsyncClient AsyncHistory AsyncWatch
    BestMarket BestPrice BookmakerOdds Change ChangeKind Changes ClientError ClosedEvent
    Closing ClosingOdds Cursor Disconnected Event EventChange EventOdds EventStatus Exclusion
    Filter Freshness Heartbeat HistoricalChange ImageLoaded Lagged ListedBookmaker ListedEvent
    Market MarketChange MarketKey MarketStatus Odds OddsFreshness OddsMap Opened Outcome
    Refreshed RefreshedSource ServiceError SourceChange SourceMatch SourceState SourceStatus
    Step StreamGap Suspicion SyncClient SyncWatch UnknownChange closing_request connect
    enum_word filter_message history_request json_line odds_request open_client
    open_sync_client refresh_request
"""
EXPORTED_BY_0_1: Final = frozenset(_EXPORTED_BY_0_1.split())
RENAMED: Final = {"Closing": "StreamClosing"}


@pytest.mark.parametrize("name", sorted(EXPORTED_BY_0_1 - RENAMED.keys()))
def test_a_name_of_0_1_is_exported(name: str) -> None:
    assert name in client.__all__
    assert hasattr(client, name)


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_an_old_name_is_an_alias_with_a_warning(old: str, new: str) -> None:
    assert new in client.__all__
    for module in (client, values):
        with pytest.warns(DeprecationWarning, match=f"{old} is now {new}") as caught:
            assert getattr(module, old) is getattr(client, new)
        assert caught[0].filename == __file__


def test_an_unknown_name_is_refused_as_usual() -> None:
    with pytest.raises(AttributeError, match=r"'odds_service.client' has no attribute 'Opening'"):
        client.Opening  # noqa: B018  # the look-up is the test
