"""Imports of small recordings: times in between, the end, refusals, and a service afterwards."""

import json
import signal
import subprocess
from collections import Counter
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import trio

from odds_service.errors import StorageError
from odds_service.importing import Recordings, import_recordings
from odds_service.model.change import EventChange, MarketChange, SourceChange
from odds_service.model.market import AtStart
from odds_service.sources.registry import recorded_reader
from tests.importing.bodies import NOON, after, event, named, series, written
from tests.importing.support import closing_of, imported, log_of, settings_of
from tests.support.command_line import COMMAND, ENVIRONMENT, complaint, ran
from tests.support.databases import DatabasePlace, SqlitePlace
from tests.support.payloads import Match, bet9ja, betpawa, sportybet
from tests.support.places import on_databases
from tests.support.serving import service, wait_until

END = timedelta(seconds=1)


def refused(text: str) -> AbstractContextManager[object]:
    """Expect a StorageError with a text."""
    return pytest.RaisesGroup(
        pytest.RaisesExc(StorageError, match=text), flatten_subgroups=True, allow_unwrapped=True
    )


async def kinds_of(place: DatabasePlace) -> list[tuple[str, str, float]]:
    """Return the log: kind, reason, and minutes after noon."""
    return [
        (each.kind.name, each.reason, (each.detected_at - NOON).total_seconds() / 60)
        for each in await log_of(place)
    ]


@on_databases
async def test_the_times_are_those_of_the_recording(place: DatabasePlace, tmp_path: Path) -> None:
    folder = written(tmp_path / "r", series([event()], [event(price=1.6)], every_s=60))
    result = await imported(place, folder)
    assert (result.bodies, result.changes, result.revision) == (2, 6, 6)
    assert (result.first, result.last) == (NOON, after(minutes=1))
    end = 1 + 1 / 60
    assert await kinds_of(place) == [
        ("EVENT_ADDED", "", 0), ("ADDED", "", 0), ("SOURCE_UP", "", 0), ("PRICES", "", 1),
        ("EVENT_ENDED", "import_ended", end), ("SOURCE_DOWN", "import_ended", end),
    ]  # fmt: skip
    assert all(
        each.observed_at == each.detected_at
        for each in await log_of(place)
        if isinstance(each, MarketChange)
    )


@on_databases
async def test_a_gap_makes_the_source_stale_at_its_time(
    place: DatabasePlace, tmp_path: Path
) -> None:
    files = series(*([event()] for _ in range(4)))
    files |= {named(after(hours=2)): json.dumps([event()]).encode()}
    await imported(place, written(tmp_path / "r", files))
    told = [each for each in await kinds_of(place) if each[0].startswith("SOURCE")]
    # Three intervals of a minute after the last answer, by the next tick of a second.
    assert told == [
        ("SOURCE_UP", "", 0), ("SOURCE_STALE", "no_success", 6 + 1 / 60), ("SOURCE_UP", "", 120),
        ("SOURCE_DOWN", "import_ended", 120 + 1 / 60),
    ]  # fmt: skip


@on_databases
async def test_events_that_nothing_confirms_leave_at_their_time(
    place: DatabasePlace, tmp_path: Path
) -> None:
    begun, later = event(1, start=after(hours=1)), event(2, start=after(hours=90))
    other = [event(3, sport="tennis_y", start=after(hours=90))]
    files = series(*([begun, later] for _ in range(6)))
    for hour in (1, 50, 100):
        files[named(after(hours=hour), "tennis_y")] = json.dumps(other).encode()
    lives = {"over_hours": 6, "unconfirmed_hours": 72}
    await imported(place, written(tmp_path / "r", files), retention=lives)
    ended = {
        each.event_id: (each.reason, each.detected_at)
        for each in await log_of(place)
        if isinstance(each, EventChange) and each.kind.name == "EVENT_ENDED"
    }
    minute, last = timedelta(minutes=1), after(hours=100) + END
    assert ended["toa:e3"] == ("import_ended", last)
    # Six hours after its start and 72 after the last look, by the tick of a minute.
    for event_id, due in (("toa:e1", after(hours=7)), ("toa:e2", after(hours=72, minutes=5))):
        reason, at = ended[event_id]
        assert reason == "purged"
        assert due <= at <= due + minute


@on_databases
async def test_nothing_of_it_looks_live_and_a_service_asks_first(
    place: DatabasePlace, tmp_path: Path
) -> None:
    await imported(place, written(tmp_path / "r", series([event()], [event()])))
    settings = settings_of(place)
    with refused("--adopt"):
        async with service(settings):
            pass
    database = settings.database.model_copy(update={"adopt": True})
    adopting = settings.model_copy(update={"database": database})
    async with service(adopting) as running:
        assert not running.parts.cache.events
        assert not running.parts.cache.sources
    async with service(settings) as running:  # adopted once is enough
        assert running.parts.stored.revision == 5


@on_databases
async def test_nothing_is_put_before_the_newest_change(
    place: DatabasePlace, tmp_path: Path
) -> None:
    first = written(tmp_path / "a", series([event()], [event(price=2)]))
    await imported(place, first)
    before = await log_of(place)
    earlier = series([event()]) | {named(after(seconds=61)): b"[]"}
    for wrong in (first, written(tmp_path / "b", earlier)):
        with refused("nothing can be put before that"):
            await imported(place, wrong)
    assert await log_of(place) == before
    later = written(tmp_path / "c", {named(after(hours=1)): json.dumps([event(price=3)]).encode()})
    await imported(place, later)
    told = [each for each in await kinds_of(place) if each[2] >= 60]
    assert [each[0] for each in told] == [
        "EVENT_ADDED", "ADDED", "SOURCE_UP", "EVENT_ENDED", "SOURCE_DOWN"
    ]  # fmt: skip


@on_databases
async def test_a_database_with_an_owner_is_refused(place: DatabasePlace, tmp_path: Path) -> None:
    folder = written(tmp_path / "r", series([event()]))
    arguments = ("import", str(folder), "--source", "the-odds-api", "--database", place.url)
    async with service(settings_of(place)):
        assert "another" in complaint(await ran(*arguments))
    assert not await log_of(place)


@on_databases
async def test_closing_odds_after_the_end_are_not_known(
    place: DatabasePlace, tmp_path: Path
) -> None:
    seen, unseen = event(1, start=after(minutes=3)), event(2, start=after(minutes=30))
    bodies = [[seen, unseen] for _ in range(6)]
    await imported(place, written(tmp_path / "r", series(*bodies)))
    closes = {each.event_id: each for each in await closing_of(place)}
    assert closes["toa:e1"].at_start is AtStart.OFFERED
    assert closes["toa:e2"].at_start is AtStart.NOT_KNOWN
    assert closes["toa:e2"].confirmed_at == after(minutes=5)


@on_databases
async def test_bodies_that_cannot_be_read_are_failed_fetches(
    place: DatabasePlace, tmp_path: Path
) -> None:
    files = series([event()], [event()])
    files |= {named(after(minutes=2)): b'{"message": "too often", "error_code": "EXCEEDED"}'}
    files |= {named(after(minutes=3)): b"<html>", named(after(minutes=4)): files[named(NOON)]}
    odd_and_cut = b'[{"id": 1}, ' + files[named(NOON)][1:-1]
    files |= {named(after(minutes=5), "soccer_x"): odd_and_cut}
    result = await imported(place, written(tmp_path / "r", files))
    failures = Counter(name.partition(":")[0] for name in result.failures.elements())
    assert failures == {"error_body": 1, "truncated": 2}
    # A failure is no absence: nothing has gone, and nothing was added twice.
    kinds = [kind for kind, *_ in await kinds_of(place)]
    assert kinds == ["EVENT_ADDED", "ADDED", "SOURCE_UP", "EVENT_ENDED", "SOURCE_DOWN"]


@on_databases
async def test_an_event_with_bad_text_is_left_out_alone(
    place: DatabasePlace, tmp_path: Path
) -> None:
    files = series([event(1), event(2)], [event(1), event(2)])
    last = named(after(minutes=1))
    files[last] = files[last].replace(b'"home_team": "Home 2', b'"home_team": "\xff')
    result = await imported(place, written(tmp_path / "r", files))
    assert (result.failures, result.problems) == ({}, {"bad_event": 1})
    removed = [kind for kind, *_ in await kinds_of(place) if kind == "EVENT_REMOVED"]
    assert removed == []


@on_databases
async def test_a_body_of_an_event_with_bad_text_is_a_failed_fetch(
    place: DatabasePlace, tmp_path: Path
) -> None:
    match = Match(number=68_995_116, home="Reds", away="Blues", start=after(hours=3))
    files = series(*[{"bizCode": 10_000, "data": sportybet(match)}] * 2)
    last = named(after(minutes=1))
    files[last] = files[last].replace(b"sr:match:", b"sr:m\xff:").replace(b"Reds", b"R\xff")
    path = written(tmp_path / "r", files)
    result = await imported(place, path, kind="sportybet", name="sportybet")
    ((failure, count),) = result.failures.items()
    assert (failure.partition(":")[0], count) == ("wrong_shape", 1)
    assert "not UTF-8" in failure


@on_databases
async def test_one_event_in_three_shapes(place: DatabasePlace, tmp_path: Path) -> None:
    wrap: dict[str, Any] = {
        "sportybet": lambda match: {"bizCode": 10_000, "data": sportybet(match)},
        "betpawa": betpawa,
        "bet9ja": lambda match: {"R": "OK", "D": bet9ja(match)},
    }
    for number, (kind, body) in enumerate(wrap.items()):
        bodies = [
            Match(number=7_000_007, home="Reds", away="Blues", start=after(days=9), h2h=prices)
            for prices in ((2.0, 3.0, 4.0), (2.1, 3.0, 3.9))
        ]
        files = {
            named(after(hours=number, minutes=minute)): json.dumps(body(match)).encode()
            for minute, match in enumerate(bodies)
        }
        await imported(place, written(tmp_path / kind, files), kind=kind, name=kind)
    log = await log_of(place)
    moved = [each for each in log if isinstance(each, MarketChange) and each.kind.name == "PRICES"]
    assert [each.source for each in moved] == list(wrap)
    for each in moved:
        assert [outcome.price for outcome in each.after.outcomes] == [2.1, 3.0, 3.9]
    assert len([each for each in log if isinstance(each, SourceChange)]) == 6


@on_databases
async def test_a_stop_ends_it_in_order(place: DatabasePlace, tmp_path: Path) -> None:
    stop = trio.Event()
    stop.set()
    folder = written(tmp_path / "r", series(*([event()] for _ in range(9))))
    result = await imported(place, folder, stop=stop)
    assert result.bodies == 1
    assert [kind for kind, *_ in await kinds_of(place)][-2:] == ["EVENT_ENDED", "SOURCE_DOWN"]


@on_databases
async def test_a_cancelled_import_loses_nothing_that_it_read(
    place: DatabasePlace, tmp_path: Path
) -> None:
    bodies = [[event(number, price=1.5 + step / 10) for number in range(40)] for step in range(30)]
    folder = written(tmp_path / "r", series(*bodies))
    reader = recorded_reader("the-odds-api", "toa")
    reached = 0
    with Recordings([folder], reader) as recordings, trio.CancelScope() as scope:

        def report(what: str, done: int, total: int | None) -> None:
            nonlocal reached
            reached = done
            if (what, done) == ("bodies", 20):
                scope.cancel()

        await import_recordings(
            settings_of(place), "toa", reader, recordings, recordings.all, trio.Event(), report
        )
    assert scope.cancelled_caught
    database = settings_of(place).database.model_copy(update={"adopt": True})
    async with service(settings_of(place).model_copy(update={"database": database})):
        pass
    log = await log_of(place)
    assert [each.revision for each in log] == list(range(1, len(log) + 1))
    prices = [each for each in log if isinstance(each, MarketChange) and each.kind.name == "PRICES"]
    assert len(prices) == 40 * (reached - 1)


# -- the command ----------------------------------------------------------------------------------


async def test_the_command_tells_what_it_did(tmp_path: Path) -> None:
    place = SqlitePlace(tmp_path)
    files = series([event()], [event(price=1.6)]) | {named(after(hours=1)): b"<html>"}
    folder = written(tmp_path / "r", files)
    arguments = ("import", str(folder), "--source", "the-odds-api", "--database", place.url)
    done = await ran(*arguments, "--until", "2024-05-04T12:30Z")
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        "2 bodies from 2024-05-04T12:00:00+00:00 to 2024-05-04T12:01:00+00:00: 6 changes,"
        " up to revision 6\n"
    )
    assert "nothing can be put before that" in complaint(await ran(*arguments))
    again = await ran(*arguments, "--since", "2024-05-04T13:00Z")
    assert again.returncode == 0, again.stderr
    assert "not read, 1 time: truncated: broken JSON" in again.stdout
    refused = await ran("serve", "--database", place.url, "--listen", "127.0.0.1:0")
    assert refused.returncode == 1
    assert "start with --adopt" in refused.stderr.splitlines()[-1]
    checked = ("serve", "--check", "--database", place.url)
    assert "start with --adopt" in complaint(await ran(*checked))
    assert (await ran(*checked, "--adopt")).returncode == 0


async def test_the_command_refuses_what_it_cannot_do(tmp_path: Path) -> None:
    folder = str(written(tmp_path / "r", series([event()])))
    for arguments, wrong in (
        (("--source", "nobody"), "unknown kind 'nobody'"),
        (("--source", "the-odds-api", "--database", "memory:"), "is gone at the end"),
        (("--source", "the-odds-api", "--since", "2025-01-01T00:00Z",
          "--database", SqlitePlace(tmp_path).url), "none of 1 file was recorded in that time"),
    ):  # fmt: skip
        assert wrong in complaint(await ran("import", folder, *arguments))


async def test_an_interrupt_ends_the_command_in_order(tmp_path: Path) -> None:
    place = SqlitePlace(tmp_path)
    bodies = [[event(number, price=2 + step % 7) for number in range(100)] for step in range(400)]
    folder = written(tmp_path / "r", series(*bodies))
    command = [*COMMAND, "import", str(folder), "--source", "the-odds-api", "--database", place.url]
    process = subprocess.Popen(  # noqa: ASYNC220  # it returns at once
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    )
    try:
        await wait_until(lambda: _has_changes(place), "changes in the database")
        process.send_signal(signal.SIGINT)
        out, err = await trio.to_thread.run_sync(lambda: process.communicate(timeout=60))
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert "go on with --since 2024-05-04T" in err
    last = [each.kind.name for each in (await log_of(place))[-2:]]
    assert last == ["EVENT_ENDED", "SOURCE_DOWN"]
    since = err.split("--since ")[1].split()[0]
    rest = await ran(*command[len(COMMAND) :], "--since", since)
    assert rest.returncode == 0, rest.stderr
    told = int(out.split()[0]) + int(rest.stdout.split()[0])
    assert told == 400


def _has_changes(place: SqlitePlace) -> bool:
    if not place.path.exists():
        return False
    try:
        return bool(int(place.value("SELECT count(*) FROM odds_history")))
    except Exception:  # the tables are being made
        return False
