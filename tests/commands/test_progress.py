"""Progress of long work: lines in a pipe, a bar at a terminal."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from odds_service.bridge import open_bridge
from odds_service.commands.output import Output
from odds_service.commands.progress import LINE_EVERY_S, stages
from odds_service.storage.backups import back_up, restore
from odds_service.storage.reads import load
from odds_service.store import WriteGroup
from tests.support.databases import DatabasePlace, PostgresPlace, SqlitePlace
from tests.support.places import on_databases, place, postgres
from tests.support.programs import WITH_PROGRAMS
from tests.support.stories import SERIES, Story, random_series
from tests.support.terminal import seen

__all__ = ["place", "postgres"]  # fixtures

Said = list[tuple[str, int, int | None]]


def another(place: DatabasePlace, folder: Path) -> DatabasePlace:
    folder.mkdir()
    if isinstance(place, PostgresPlace):
        return PostgresPlace(folder, place.server)
    return SqlitePlace(folder)


def test_a_pipe_gets_a_line_every_ten_seconds_with_rate_and_remaining_time(
    capsys: pytest.CaptureFixture[str],
) -> None:
    now = 100.0
    with stages(Output(), lambda: now) as report:
        for done in range(26):
            report("pages copied", done * 1_000, 30_000)
            now += 1.0
        for _ in range(8):
            now += 1.0
            report("revisions counted", 0, None)
    assert capsys.readouterr().err.splitlines() == [
        "10,000 of 30,000 pages copied, 1,000 a second, 20 s left",
        "20,000 of 30,000 pages copied, 1,000 a second, 10 s left",
        "0 revisions counted",
    ]
    assert LINE_EVERY_S == 10.0


@on_databases
async def test_verify_backup_and_restore_report_all_their_stages(
    place: DatabasePlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", WITH_PROGRAMS)
    said: Said = []

    def report(what: str, done: int, total: int | None) -> None:
        said.append((what, done, total))

    def stages_said() -> list[str]:
        found = list(dict.fromkeys(what for what, _, _ in said))
        said.clear()
        return found

    compared = ["revisions counted", "events compared"]
    story = Story(SERIES + random_series(3, 30))
    async with place.begun() as (store, _):
        await store.write(WriteGroup(story.batches))
        await store.verify(report)
        assert ("revisions counted", 0, len(story.log)) in said
        assert stages_said() == compared
        await back_up(place.url, tmp_path / "kept", report)
    sqlite = isinstance(place, SqlitePlace)
    if sqlite:
        copied = [(done, total) for what, done, total in said if what == "pages copied"]
        assert copied[-1][0] == copied[-1][1]
    copying = ["pages copied"] if sqlite else ["bytes dumped"]
    reading = [] if sqlite else ["bytes read back"]
    backed_up = stages_said()
    assert [each for each in backed_up if "steps" not in each] == (
        copying + compared if sqlite else copying + compared + reading
    )
    async with open_bridge():
        await restore(
            another(place, tmp_path / "new").url, tmp_path / "kept", report, replace=False
        )
    if not sqlite:
        restored = [(done, total) for what, done, total in said if what == "bytes restored"]
        assert restored[-1][0] == restored[-1][1]
    assert [each for each in stages_said() if "steps" not in each] == (
        ["pages copied", *compared] if sqlite else [*reading, "bytes restored", *compared]
    )


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
async def test_a_terminal_gets_a_bar_that_leaves_no_trace(place: SqlitePlace) -> None:
    async with place.begun() as (store, _):
        await store.write(WriteGroup(Story(SERIES).batches))
    path = place.folder / "kept"
    shown = await seen("db", "backup", str(path), "--database", place.url)
    assert shown.code == 0, shown.text
    assert "pages copied" in shown.raw
    assert "events compared" in shown.raw
    assert shown.lines[0].startswith("backup in ")
    assert "no fault: " in shown.text


@on_databases
async def test_a_long_load_is_logged_as_it_proceeds(
    place: DatabasePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with place.begun() as (store, _):
        await store.write(WriteGroup(Story(SERIES).batches))
    with capture_logs() as quick:
        async with place.begun():
            pass
    assert not [line for line in quick if line["event"] == "loading"]
    monkeypatch.setattr(load, "LOG_EVERY_S", 0.0)
    with capture_logs() as slow:
        async with place.begun():
            pass
    assert {line["what"] for line in slow if line["event"] == "loading"} == {"markets", "snapshots"}


def test_the_log_of_a_load_has_a_line_every_ten_seconds() -> None:
    now = 0.0
    report = load.LoadLog(lambda: now)
    with capture_logs() as lines:
        for _ in range(25):
            now += 1.0
            report("markets", int(now) * 5)
    assert [(line["read"], line["seconds"]) for line in lines] == [(50, 10.0), (100, 20.0)]
