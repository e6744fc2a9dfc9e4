"""`odds-service db`: the tables, what is wrong with the odds, and the dead letters."""

import json
from collections.abc import Sequence
from typing import NamedTuple

import pytest
import trio
from typer.testing import CliRunner

from odds_service import cli
from odds_service.store import WriteGroup
from tests.support.databases import DatabasePlace, PostgresPlace
from tests.support.places import on_bare_databases, place, postgres
from tests.support.stories import SERIES, Story

__all__ = ["place", "postgres"]  # fixtures


class Ended(NamedTuple):
    """The exit code and output of a command; `error` is the line that cli.main prints."""

    code: int
    stdout: str
    error: str


def run(place: DatabasePlace, arguments: Sequence[str]) -> Ended:
    """Run the command in this process; call it in a thread, for it starts a loop."""
    result = CliRunner().invoke(cli.app, ["db", *arguments, "--database", place.url])
    error = "" if result.exception is None else str(result.exception)
    return Ended(result.exit_code, result.stdout, error)


@on_bare_databases
@pytest.mark.logs_errors
async def test_the_command_line_upgrades_verifies_and_tends_the_dead_letters(
    place: DatabasePlace,
) -> None:
    async def ran(*arguments: str) -> Ended:
        return await trio.to_thread.run_sync(run, place, arguments)

    if isinstance(place, PostgresPlace):
        bare = await ran("verify")
        assert (bare.code, len(bare.error.splitlines())) == (1, 1)
        assert "db upgrade" in bare.error
    upgraded = await ran("upgrade")
    assert upgraded.code == 0, upgraded.error
    assert "is at schema" in upgraded.stdout
    story = Story(SERIES)
    async with place.begun() as (store, _):
        place.refuse("revision = 2 AND kind > 0 OR revision = 4 AND kind > 0")
        assert await store.write(WriteGroup(story.batches)) == 2
        refused = await ran("upgrade")
        assert refused.code == 1
        assert "in use by another odds-service" in refused.error
        # The other commands work beside the service.
        told = await ran("verify")
        assert (told.code, told.stdout.startswith("no fault: ")) == (0, True), told
        assert "2 changes of it refused" in told.stdout
        shown = await ran("dead-letters", "list")
        heading, first, second = shown.stdout.splitlines()
        assert heading.split("\t") == ["id", "revision", "kept (UTC)", "tries", "reason", "change"]
        assert first.split("\t")[:2] == ["1", "2"]
        assert second.split("\t")[3] == "1"
        assert "refused" in second.split("\t")[4]
        bare = await ran("dead-letters", "list", "--no-header", "--tz", "Asia/Tokyo")
        assert len(bare.stdout.splitlines()) == 2
        lines = (await ran("dead-letters", "list", "--json")).stdout.splitlines()
        assert [json.loads(line)["revision"] for line in lines] == [2, 4]
        assert json.loads(lines[0])["change"]["revision"] == "2"
        failed = await ran("dead-letters", "retry", "1")
        assert (failed.code, "refused" in failed.stdout) == (1, True)
        dropped = await ran("dead-letters", "drop", "2", "99")
        assert dropped.stdout == "2: dropped\n99: there is no such letter\n"
        assert dropped.code == 1
        place.accept()
        again = await ran("dead-letters", "retry", "--all")
        assert (again.code, again.stdout) == (0, "1: stored\n")
        assert await store.count_dead_letters() == 0
    place.sql("UPDATE odds_current SET status = 3 WHERE revision = "
              "(SELECT max(revision) FROM odds_current)")  # fmt: skip
    damaged = await ran("verify")
    assert damaged.code == 1
    assert "1 fault:" in damaged.stdout
