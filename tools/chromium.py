"""Debian's Chromium without a window, driven by Playwright."""

import asyncio
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING
from unittest.mock import patch

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@contextmanager
def chromium() -> Iterator["Browser"]:
    """Start Chromium. Raises RuntimeError where it, or Playwright, is not installed."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise RuntimeError("it takes Playwright: pip install playwright") from error
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        raise RuntimeError("it takes Chromium (Debian: apt-get install chromium)")
    arguments = ["--disable-dev-shm-usage"]
    if os.geteuid() == 0:
        arguments.append("--no-sandbox")  # Chromium has none for root
    with ExitStack() as stack:
        # trio-asyncio's policy would make a loop of its own kind, which runs nothing inside itself.
        with patch.object(asyncio, "new_event_loop", asyncio.SelectorEventLoop):
            playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()
