"""A program on the client's wheel alone, which reads, watches, and prints its observations.

test_wheel.py runs it in an environment of its own: `python wheel_client.py ADDRESS HEAD`.
"""

import asyncio
import json
import sys
from importlib.metadata import distributions
from typing import Any

from odds_service.client import (
    Cursor,
    ImageLoaded,
    Odds,
    Opened,
    open_client,
    open_sync_client,
)


def prices(odds: Odds) -> list[float | None]:
    return [
        outcome.price
        for entry in odds.events.values()
        for shown in entry.bookmakers.values()
        for market in shown.markets.values()
        for outcome in market.outcomes
    ]


def synchronous(address: str, head: int) -> dict[str, Any]:
    with open_sync_client(address) as client:
        odds = client.get_odds()
        watched = []
        with client.watch(start=Cursor(odds.cursor.epoch, 0)) as watch:
            for change in watch:
                watched.append(change.revision)
                if change.revision == head:
                    break
        image = [type(step) for step in client.watch(image_only=True).steps()]
        return {
            "prices": prices(odds),
            "watched": watched,
            "image": image == [Opened, ImageLoaded],
            "stored": [change.revision for change in client.history()],
            "events": [listed.event.id for listed in client.list_events()],
        }


async def asynchronous(address: str, head: int) -> dict[str, Any]:
    async with open_client(address) as client:
        odds = await client.get_odds()
        watched = []
        async with client.watch(start=Cursor(odds.cursor.epoch, 0)) as watch:
            async for change in watch:
                watched.append(change.revision)
                if change.revision == head:
                    break
        image = [type(step) async for step in client.watch(image_only=True).steps()]
        return {
            "prices": prices(odds),
            "watched": watched,
            "image": image == [Opened, ImageLoaded],
            "stored": [change.revision async for change in client.history()],
            "events": [listed.event.id for listed in await client.list_events()],
        }


def main(address: str, head: int) -> None:
    seen = {
        "installed": {one.name.lower(): one.version for one in distributions()},
        "synchronous": synchronous(address, head),
        "asynchronous": asyncio.run(asynchronous(address, head)),
    }
    sys.stdout.write(json.dumps(seen))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
