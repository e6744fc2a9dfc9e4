"""Real servers on port 0 for the tests of this folder, and the place of recorded series."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest
import trio

from odds_service.asgi import Limits
from tests.support.sites import Site, serve_site

RECORDED = (
    Path(
        os.environ.get("ODDS_SHARED_DATA")
        or Path(__file__).resolve().parents[2].parent / "shared" / "data"
    )
    / "the_odds_api"
)
needs_recorded = pytest.mark.skipif(
    not RECORDED.is_dir(), reason="the recorded series are not beside the repository"
)


@asynccontextmanager
async def listening(
    app: Site, *, gzip: bool = False, limits: Limits | None = None
) -> AsyncIterator[int]:
    """Serve ``app``, and yield its port; stops at the end."""
    async with trio.open_nursery() as nursery:
        port = await nursery.start(partial(serve_site, app, gzip=gzip, limits=limits))
        yield port
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def client_of(app: Site, *, gzip: bool = False) -> AsyncIterator[httpx.AsyncClient]:
    """Serve ``app``, and yield a client of it that sends no Accept-Encoding of its own."""
    async with listening(app, gzip=gzip) as port:
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}",
            headers={"accept-encoding": "identity"},
            trust_env=False,
            timeout=30.0,
        ) as client:
            yield client
