"""The spill file of a stop, and the start that reads it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path

import pytest

from odds_service.bridge import open_bridge
from odds_service.errors import StorageError
from odds_service.feed import ChangeFeed
from odds_service.model.change import Change, Commit
from odds_service.pipeline.channels import WriteQueue
from odds_service.pipeline.write import Writer
from odds_service.storage import open_store
from odds_service.store import Store, Stored, WriteGroup
from tests.support.databases import DatabasePlace, Place, PostgresPlace
from tests.support.disks import small_disk
from tests.support.places import on_databases
from tests.support.stories import SERIES, Story, random_series

pytestmark = pytest.mark.logs_errors  # a refused change is an error to be looked at

ALL = 10**9


def half_of(story: Story) -> tuple[list[Commit], list[Commit]]:
    middle = len(story.batches) // 2
    return story.batches[:middle], story.batches[middle:]


async def test_a_spill_that_fits_is_stored_before_anything_else(place: Place) -> None:
    story = Story(SERIES + random_series(7, 30))
    first, rest = half_of(story)
    async with place.begun() as (store, _):
        await store.write(WriteGroup(first))
        # The group in hand at the stop may have been stored: the file may overlap.
        store.spill([first[-1], *rest])
        assert place.has_spill()
    async with place.begun() as (store, again):
        assert again.replayed == sum(len(b.changes) for b in (first[-1], *rest))
        assert (again.misfits, again.dead_letters) == (0, 0)
        assert again.revision == len(story.log)
        assert await store.history(0, ALL, ALL) == story.log
        assert (await store.verify()).faulty == 0
    assert not place.has_spill()


@on_databases
async def test_a_spill_that_does_not_fit_becomes_dead_letters(place: DatabasePlace) -> None:
    story = Story(SERIES + random_series(8, 30))
    first, rest = half_of(story)
    async with place.begun() as (store, _):
        await store.write(WriteGroup(first))
        store.spill(rest)
        path = place.spill()
        assert path is not None
        path = path.rename(path.with_suffix(".away"))
    async with place.begun():
        pass  # another start, and so another epoch, without the file
    path.rename(path.with_suffix(".spill"))
    async with place.begun() as (store, again):
        lost: list[Change] = [c for batch in rest for c in batch.changes]
        assert (again.replayed, again.misfits) == (0, len(lost))
        letters = await store.dead_letters()
        assert [letter.change for letter in letters] == lost
        assert await store.history(0, ALL, ALL) == story.log[: len(story.log) - len(lost)]
        # Their revisions will go to other changes, so they can never be stored.
        why = await store.retry_dead_letter(letters[0].letter_id)
        assert "belongs to another change" in why
    assert place.spill() is None


@on_databases
async def test_a_spill_of_another_database_is_set_aside(place: DatabasePlace) -> None:
    story = Story(SERIES)
    async with place.begun() as (store, _):
        store.spill(story.batches)
    name = place.spill()
    assert name is not None
    place.sql("UPDATE feed_state SET database_id = 'x' || database_id")
    if isinstance(place, PostgresPlace):  # there the name identifies the owner
        ((identity,),) = place.sql("SELECT database_id FROM feed_state")
        name.rename(name.with_name(f"odds-service-{identity[:12]}.spill"))
    async with place.begun() as (store, again):
        assert (again.replayed, again.misfits, again.revision) == (0, 0, 0)
    assert place.spill() is None
    assert len(list(place.folder.glob("*.spill.*"))) == 1


@on_databases
@pytest.mark.parametrize("keep", [0.0, 0.02, 0.6, 0.99])
async def test_a_torn_spill_is_an_error_that_names_it_and_stores_no_half(
    place: DatabasePlace, keep: float
) -> None:
    story = Story(SERIES)
    async with place.begun() as (store, _):
        store.spill(story.batches)
    path = place.spill()
    assert path is not None
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * keep)])
    with pytest.RaisesGroup(
        pytest.RaisesExc(StorageError, match="cannot be read"), flatten_subgroups=True,
        allow_unwrapped=True,
    ):  # fmt: skip
        async with place.begun():
            pytest.fail("it began")
    path.write_bytes(whole)
    async with place.begun() as (store, again):
        assert again.revision == len(story.log)
        assert (await store.verify()).faulty == 0


@on_databases
async def test_a_spill_with_bad_text_is_an_error_that_names_it(place: DatabasePlace) -> None:
    story = Story(SERIES)
    async with place.begun() as (store, _):
        store.spill(story.batches)
    path = place.spill()
    assert path is not None
    whole = path.read_bytes()
    for at in (whole.index(b'"epoch":"') + 9, whole.index(b"h2h")):
        path.write_bytes(whole[:at] + b"\xff" + whole[at + 1 :])
        with pytest.RaisesGroup(
            pytest.RaisesExc(StorageError, match="cannot be read .*not UTF-8"),
            flatten_subgroups=True,
            allow_unwrapped=True,
        ):
            async with place.begun():
                pytest.fail("it began")


async def test_the_writers_spill_is_what_the_store_reads(place: Place) -> None:
    story = Story(SERIES)
    async with place.begun() as (store, begun):
        queue, feed = WriteQueue(), ChangeFeed(begun.epoch, 0)
        writer = Writer(store, queue, feed)
        for batch in story.batches:
            with feed.lock:
                feed.append_locked(batch, batch.changes[0].detected_at)
            queue.put(batch)
        place.take_over()
        with pytest.raises(StorageError, match="another process"):
            await writer.run()
    place.hand_back()
    async with place.begun() as (_, again):
        assert again.replayed == len(story.log)


@asynccontextmanager
async def begun(file: Path, spill_folder: Path | None) -> AsyncIterator[tuple[Store, Stored]]:
    async with open_bridge(), open_store(f"sqlite:///{file}", spill_folder=spill_folder) as store:
        yield store, await store.begin()


def spills_in(folder: Path) -> list[Path]:
    return list(folder.glob("*.spill*"))


async def test_sqlite_spills_into_the_folder_of_the_settings(tmp_path: Path) -> None:
    story = Story(SERIES)
    file, folder = tmp_path / "odds.db", tmp_path / "spills"
    folder.mkdir()
    async with begun(file, folder) as (store, _):
        assert Path(store.spill(story.batches)).parent == folder
    assert not spills_in(tmp_path)
    async with begun(file, folder) as (store, again):
        assert again.replayed == len(story.log)
        assert await store.history(0, ALL, ALL) == story.log
    assert not spills_in(folder)


async def test_a_spill_from_before_the_setting_is_found(tmp_path: Path) -> None:
    story = Story(SERIES)
    file, folder = tmp_path / "odds.db", tmp_path / "spills"
    folder.mkdir()
    async with begun(file, None) as (store, _):
        assert store.spill(story.batches) == f"{file}.spill"
    async with begun(file, folder) as (store, again):
        assert again.replayed == len(story.log)
    assert not spills_in(tmp_path)


async def test_a_spill_beside_a_symbolic_link_is_found(tmp_path: Path) -> None:
    """Earlier versions spilled beside the name of the settings, not beside the file."""
    story = Story(SERIES)
    (tmp_path / "folder").mkdir()
    file, link = tmp_path / "folder" / "odds.db", tmp_path / "link.db"
    link.symlink_to(file)
    async with begun(link, None) as (store, _):
        assert store.spill(story.batches) == f"{file}.spill"
    (tmp_path / "folder" / "odds.db.spill").rename(tmp_path / "link.db.spill")
    async with begun(link, None) as (store, again):
        assert again.replayed == len(story.log)


async def test_a_spill_that_its_folder_has_no_room_for_goes_beside_the_file(
    tmp_path: Path,
) -> None:
    story = Story(SERIES + random_series(9, 30))
    file = tmp_path / "odds.db"
    with small_disk(tmp_path / "full", 2**16) as disk:
        async with begun(file, disk.folder) as (store, _):
            disk.fill()
            assert store.spill(story.batches) == f"{file}.spill"
        assert not spills_in(disk.folder), "a part was left"
        async with begun(file, disk.folder) as (store, again):
            assert again.replayed == len(story.log)
            assert await store.history(0, ALL, ALL) == story.log


async def test_a_failed_spill_leaves_no_part(tmp_path: Path) -> None:
    story = Story(SERIES + random_series(9, 30))
    with small_disk(tmp_path / "disk", 2**22) as disk:
        async with begun(disk.folder / "odds.db", None) as (store, _):
            disk.fill()
            with pytest.raises(OSError, match="No space left"):
                store.spill(story.batches)
            assert not spills_in(disk.folder)
            disk.free()
            store.spill(story.batches)


@pytest.mark.parametrize("kind", ["missing", "a file", "read-only"])
async def test_a_folder_that_cannot_take_a_spill_is_refused_at_the_start(
    tmp_path: Path, kind: str
) -> None:
    folder = tmp_path / "spills"
    if kind == "a file":
        folder.write_text("")
    async with open_bridge():
        with small_disk(folder, 2**16) if kind == "read-only" else nullcontext() as disk:
            if disk is not None:
                disk.make_read_only()
            with pytest.raises(StorageError, match=r"database\.spill_folder: .* cannot be"):
                async with open_store(f"sqlite:///{tmp_path / 'odds.db'}", spill_folder=folder):
                    pytest.fail("it opened")
