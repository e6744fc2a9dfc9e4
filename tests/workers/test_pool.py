"""The number of workers, and the places of sources on them."""

import os

import pytest

from odds_service.config import load_settings
from odds_service.errors import SettingsError
from odds_service.sources.boundary import Limits
from odds_service.workers.messages import Open
from odds_service.workers.pool import Workers, number_of_workers
from odds_service.workers.worker import Worker


def test_auto_is_one_for_each_core_but_one_and_no_more_than_sources(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    assert [number_of_workers("auto", sources) for sources in (0, 1, 3, 9)] == [0, 1, 3, 3]
    assert [number_of_workers(count, 1) for count in (0, 2)] == [0, 2]
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    assert number_of_workers("auto", 5) == 1


async def test_a_source_goes_to_its_place_or_to_the_worker_that_has_the_fewest() -> None:
    workers = [Worker(number, "info", "json") for number in (1, 2, 3)]
    pool = Workers(workers, {"own": 3}, Limits())
    for source, number in (("own", 3), ("a", 1), ("b", 2), ("c", 1), ("d", 2), ("e", 3)):
        worker = pool.worker_for(source)
        assert worker.number == number, source
        await worker.open(Open(ord(source[0]), {}, Limits()))


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"count": 1, "place": {"a": 2}}, "there is no worker 2: count is 1"),
        ({"count": "auto", "place": {"a": 1}}, "there is no worker 1: count is auto"),
        ({"count": 2, "place": {"a": 0}}, "workers.place.a"),
        ({"count": -1}, "workers.count"),
        ({"count": "many"}, "workers.count"),
    ],
    ids=str,
)
def test_wrong_settings_are_named(table: dict[str, object], said: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings(workers=table)
    assert said in str(refused.value)
