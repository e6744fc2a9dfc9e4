"""Chromium for the tests of the board; they are skipped where it is not installed."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.board.rig import BoardRig
from tools.chromium import chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SLOW_MS: Final = 60_000  # a machine that is four times too busy

Opens = Callable[..., "Page"]


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """Start Chromium, for the tests of one module.

    Playwright's loop counts as running in this thread until the end, where tests of other modules
    could open no bridge.
    """
    with ExitStack() as stack:
        try:
            begun = stack.enter_context(chromium())
        except RuntimeError as error:
            pytest.skip(str(error))
        yield begun


@pytest.fixture
def open_page(browser: "Browser") -> Iterator[Opens]:
    """Return a function that opens a page; whatever a page logs as an error fails the test.

    Its arguments are the address, and those of a new context of the browser. Pages of one
    `context` share its SharedWorker.
    """
    contexts: list[Any] = []
    errors: list[str] = []

    def note(message: Any) -> None:
        text = f"{message.type}: {message.text} {message.location.get('url', '')}"
        # Chromium logs each refused request; the board's own words are on the page.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            errors.append(text)

    def opened(address: str, *, context: Any = None, **options: Any) -> "Page":
        if context is None:
            chosen = {"viewport": {"width": 1440, "height": 900}, "timezone_id": "UTC"} | options
            context = browser.new_context(**chosen)
            contexts.append(context)
        page: Page = context.new_page()
        page.set_default_timeout(SLOW_MS)
        page.on("console", note)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(address)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not errors


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[BoardRig]:
    """Start a service with one site, which offers nothing yet."""
    running = BoardRig(tmp_path)
    yield running
    running.close()


@pytest.fixture
def unhurried(tmp_path: Path) -> Iterator[BoardRig]:
    """Start a service with a site that may take seconds for an answer, as a large one does."""
    running = BoardRig(tmp_path, interval_s=3.0)
    yield running
    running.close()


@pytest.fixture
def two_sites(tmp_path: Path) -> Iterator[BoardRig]:
    """Start a service with two sites."""
    running = BoardRig(tmp_path, sites=2)
    yield running
    running.close()
