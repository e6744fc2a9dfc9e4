"""A part file gets its name whole, or leaves nothing."""

import fcntl
import os
from pathlib import Path

import pytest

from odds_service.errors import StorageError
from odds_service.storage.backups.part_file import part_file


def test_it_has_its_name_only_at_the_end_and_only_one_owner_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "whole"
    with part_file(path) as part:
        part.path.write_text("all of it")
        assert not path.exists()
    assert path.read_text() == "all of it"
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["whole"]


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with part_file(tmp_path / "whole") as part:
            part.path.with_name("whole.part-journal").touch()
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert os.listdir(tmp_path) == []


def test_what_a_killed_process_left_is_used_again(tmp_path: Path) -> None:
    (tmp_path / "whole.part").write_text("half of something long")
    (tmp_path / "whole.part-wal").write_text("half of something else")
    with part_file(tmp_path / "whole") as part:
        assert part.path.read_text() == ""
        assert os.listdir(tmp_path) == ["whole.part"]
    assert os.listdir(tmp_path) == ["whole"]


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    with (
        part_file(tmp_path / "whole"),
        pytest.raises(StorageError, match="being written by another process"),
        part_file(tmp_path / "whole"),
    ):
        pytest.fail("it began")
    assert (tmp_path / "whole").exists()


def test_a_file_that_came_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "whole"
    with pytest.raises(StorageError, match="exists"), part_file(path):
        path.write_text("theirs")
    assert path.read_text() == "theirs"
    with part_file(path, replace=True) as part:
        part.path.write_text("ours")
    assert path.read_text() == "ours"


def test_a_child_holds_the_lock_after_its_parent(tmp_path: Path) -> None:
    with part_file(tmp_path / "whole") as part:
        inherited = os.dup(part.lock)
    (tmp_path / "whole").rename(tmp_path / "whole.part")  # as if the parent had been killed
    with (
        pytest.raises(StorageError, match="being written by another process"),
        part_file(tmp_path / "whole"),
    ):
        pytest.fail("it began")
    fcntl.flock(inherited, fcntl.LOCK_UN)
    os.close(inherited)
    with part_file(tmp_path / "whole"):
        pass
