"""The sites of the three bookmakers, with faults on demand, and variations of their payloads."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import trio
from starlette.requests import Request
from starlette.responses import Response

from odds_service.config import Settings, load_settings
from tests.support.providers import (
    Bet9jaShelf,
    BetPawaShelf,
    ProviderShelf,
    SportyBetShelf,
)
from tests.support.sites import serve_site

SHELVES: Final[dict[str, type[ProviderShelf]]] = {
    "sportybet": SportyBetShelf,
    "betpawa": BetPawaShelf,
    "bet9ja": Bet9jaShelf,
}


class Site:
    """One provider's site. It answers only while `open` is set, with `fault` where there is one."""

    def __init__(self, shelf: ProviderShelf) -> None:
        self.shelf = shelf
        self.fault: Response | None = None
        self.open = trio.Event()
        self.open.set()

    async def __call__(self, request: Request) -> Response:
        await self.open.wait()
        fault = self.fault  # kept: a test may clear it during the checkpoint
        if fault is not None:
            await trio.lowlevel.checkpoint()
            return fault
        return await self.shelf(request)


@asynccontextmanager
async def sites(*shelves: ProviderShelf) -> AsyncIterator[tuple[dict[str, Site], dict[str, str]]]:
    """Serve the shelves; yield their sites and their URLs, each by provider."""
    made = {shelf.name: Site(shelf) for shelf in shelves}
    urls = {}
    async with trio.open_nursery() as nursery:
        for name, site in made.items():
            port = await nursery.start(lambda site=site, **kw: serve_site(site, gzip=True, **kw))
            urls[name] = f"http://127.0.0.1:{port}"
        yield made, urls
        nursery.cancel_scope.cancel()


def settings_of(folder: Path, urls: dict[str, str], interval_s: float, **table: Any) -> Settings:
    """Return settings with these providers, each event fetched every `interval_s` seconds."""
    http = {"requests_per_s": 1_000, "attempts": 1, "breaker_cool_s": 0.2}
    tiers = [{"name": "all", "interval_s": interval_s, "target_s": 60}]
    sources = [
        {"kind": name, "url": url, "tiers": tiers, "discovery_s": 2, "http": http} | table
        for name, url in urls.items()
    ]
    settings = load_settings(
        server={"listen": "127.0.0.1:0"}, database={"url": f"sqlite:///{folder / 'odds.db'}"}
    )
    return settings.model_copy(update={"sources": sources})


# -- variations, in each provider's own shape ------------------------------------------------------


def payload_in(body: bytes, provider: str) -> Any:
    """Return the payload inside the envelope of a recorded body."""
    whole = json.loads(body)
    return {"sportybet": lambda: whole["data"], "bet9ja": lambda: whole["D"]}.get(
        provider, lambda: whole
    )()


def moved_to(payload: Any, provider: str, start: datetime) -> Any:
    """Return a copy of the match that starts at another time."""
    start = start.astimezone(UTC)
    if provider == "sportybet":
        return payload | {"estimateStartTime": round(start.timestamp() * 1000)}
    if provider == "betpawa":
        return payload | {"startTime": f"{start:%Y-%m-%dT%H:%M:%SZ}"}
    return payload | {"STARTDATE": f"{start:%Y-%m-%d %H:%M:%S}"}


def with_home_price(payload: Any, provider: str, price: float) -> Any:
    """Return a copy with another price for the home side to win."""
    copied = json.loads(json.dumps(payload))
    if provider == "sportybet":
        _market(copied, "1")["outcomes"][0]["odds"] = f"{price:.2f}"
    elif provider == "betpawa":
        row = _market(copied, "3743")["row"][0]
        row["prices"][0]["price"] = price
    else:
        copied["O"]["S_1X2_1"] = f"{price:g}"
    return copied


def suspended(payload: Any, provider: str) -> Any:
    """Return a copy whose market of the winner is suspended."""
    copied = json.loads(json.dumps(payload))
    if provider == "sportybet":
        _market(copied, "1")["status"] = 1
    elif provider == "betpawa":
        for price in _market(copied, "3743")["row"][0]["prices"]:
            price.update(price=0.0, suspended=True)
    else:
        for outcome in "1X2":
            copied["O"][f"S_1X2_{outcome}"] = "1"
    return copied


def without_h2h(payload: Any, provider: str) -> Any:
    """Return a copy without the market of the winner."""
    copied = json.loads(json.dumps(payload))
    if provider == "bet9ja":
        for outcome in "1X2":
            del copied["O"][f"S_1X2_{outcome}"]
    else:
        copied["markets"].remove(_market(copied, "1" if provider == "sportybet" else "3743"))
    return copied


def _market(payload: Any, number: str) -> Any:
    for market in payload["markets"]:
        if market.get("id", market.get("marketType", {}).get("id")) == number:
            return market
    raise AssertionError(f"no market {number}")
