"""The synchronous client is generated from the asynchronous one, and stale files are named."""

import shutil
from pathlib import Path

from tools import sync_client

ASYNCHRONOUS = '''"""A module; `async with AsyncThing()` opens it."""

from collections.abc import AsyncIterator, Awaitable, Callable

from odds_service.client.iterating import AsyncWatch


class AsyncThing:
    """Holds a watch; iterate with `anext`, or from another task.

    Raises:
        ServiceError: The call failed.

    Cancellation:
        Nothing is lost: an AsyncThing that is cancelled
        can go on.
    """

    def __init__(self, follow: Callable[[], Awaitable[int]], watch: "AsyncWatch") -> None:
        self._follow = follow
        self._watch = watch

    def __aiter__(self) -> AsyncIterator[int]:
        return self

    async def __anext__(self) -> int:
        """Return the next number.

        Cancellation:
            Nothing is lost.
        """
        async with self._watch as watch:  # aclose() comes with it
            async for change in watch:
                return (await self._follow()) + change.revision
        raise StopAsyncIteration

    async def numbers(self) -> list[int]:
        return [number async for number in self]
'''

SYNCHRONOUS = '''# Made from things.py by tools/sync_client.py: edit that, then run `make proto`.
"""A module; `with SyncThing()` opens it."""

from collections.abc import Callable, Iterator

from odds_service.client.sync_iterating import SyncWatch


class SyncThing:
    """Holds a watch; iterate with `next`, or from another thread.

    Raises:
        ServiceError: The call failed.
    """

    def __init__(self, follow: Callable[[], int], watch: "SyncWatch") -> None:
        self._follow = follow
        self._watch = watch

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        """Return the next number."""
        with self._watch as watch:  # close() comes with it
            for change in watch:
                return self._follow() + change.revision
        raise StopIteration

    def numbers(self) -> list[int]:
        return [number for number in self]
'''


def test_a_module_becomes_synchronous_with_its_docstrings_and_imports() -> None:
    assert sync_client.synchronous(ASYNCHRONOUS, "things") == SYNCHRONOUS


def test_the_committed_synchronous_client_is_current() -> None:
    assert sync_client.problems() == []


def test_a_module_that_was_edited_or_is_missing_is_stale(tmp_path: Path) -> None:
    for module in sync_client.MODULES:
        shutil.copy(sync_client.CLIENT / f"{module}.py", tmp_path)
    made = [f"sync_{module}.py" for module in sync_client.MODULES]
    assert sync_client.write(tmp_path) == made
    assert sync_client.problems(tmp_path) == []
    (tmp_path / "sync_calls.py").write_text("edited = True\n", "utf-8")
    (tmp_path / "sync_transport.py").unlink()
    assert sync_client.problems(tmp_path) == [
        "sync_calls.py is stale: run `make proto`",
        "sync_transport.py is stale: run `make proto`",
    ]
    assert sync_client.write(tmp_path) == ["sync_calls.py", "sync_transport.py"]
    assert sync_client.problems(tmp_path) == []
