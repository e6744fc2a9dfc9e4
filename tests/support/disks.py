"""Small disks that a test fills: tmpfs, which only root can mount."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

_ATTEMPTS: Final = 100


class SmallDisk:
    """A mounted tmpfs."""

    def __init__(self, folder: Path, size_bytes: int) -> None:
        self.folder = folder
        self.size_bytes = size_bytes

    def fill(self) -> None:
        """Leave no room, by shrinking the disk to what is used; that takes no memory."""
        for _ in range(_ATTEMPTS):
            found = os.statvfs(self.folder)
            used = (found.f_blocks - found.f_bfree) * found.f_frsize
            try:
                self._mount_again(f"size={max(used, found.f_frsize)}")
            except subprocess.CalledProcessError:
                continue  # more is used by now
            return
        raise AssertionError(f"{self.folder} grows faster than it can be shrunk")

    def free(self) -> None:
        """Give the room back."""
        self._mount_again(f"size={self.size_bytes}")

    def make_read_only(self) -> None:
        """Mount it again without the right to write."""
        self._mount_again("ro")

    def _mount_again(self, option: str) -> None:
        _run("mount", "-o", f"remount,{option}", str(self.folder))


def no_disks() -> str:
    """Return the reason for which this user can mount no disk; empty if it can."""
    return "only root can mount a small disk" if os.geteuid() else ""


@contextmanager
def small_disk(folder: Path, size_bytes: int) -> Iterator[SmallDisk]:
    """Mount a disk of a size on a new folder; skip the test where that is not possible."""
    if reason := no_disks():
        pytest.skip(reason)
    folder.mkdir()
    try:
        _run("mount", "-t", "tmpfs", "-o", f"size={size_bytes},mode=0700", "none", str(folder))
    except (OSError, subprocess.CalledProcessError) as error:  # a container without the right
        pytest.skip(f"no small disk can be mounted: {error}")
    try:
        yield SmallDisk(folder, size_bytes)
    finally:
        # Lazily: a process that was just killed may still have a file open.
        _run("umount", "-l", str(folder))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=60)
