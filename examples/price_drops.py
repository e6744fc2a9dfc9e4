"""Print prices that others have not followed down yet, live or in the past: one strategy for both.

python examples/price_drops.py [SERVER [START [END]]]

It replays what the service has stored from START to END (times such as 2026-11-26T12:00Z), and
without END goes on live from there; without both it is live only, until ^C. What it prints about a
moment is the same in either case: it takes the time from `watch.now`, the odds from `watch.odds`.
"""

import sys
from collections.abc import Iterator
from datetime import datetime

from odds_service.client import (
    Filter,
    MarketChange,
    SyncReplay,
    SyncWatch,
    open_sync_client,
)

WHERE = Filter(markets=["h2h"])
DROP = 0.01  # the share by which a price must fall
FRESH_S = 0.5  # a price that changed this shortly before is not a slow one


def main(server: str = "127.0.0.1:50051", start: str = "", end: str = "") -> None:
    """Run the strategy on the past, and then on the present."""
    with open_sync_client(server) as client:
        reached = None
        if start:
            until = datetime.fromisoformat(end) if end else None
            with client.replay(datetime.fromisoformat(start), until, where=WHERE) as replay:
                for line in decisions(replay):
                    print(line, flush=True)
                reached = replay.odds.cut()
        if not end:
            with client.watch(WHERE, start=reached, wait_for_server=True) as watch:
                for line in decisions(watch):
                    print(line, flush=True)


def decisions(watch: SyncWatch | SyncReplay) -> Iterator[str]:
    """Yield a line for each price that is higher than one that has just fallen."""
    for change in watch:
        if not isinstance(change, MarketChange) or change.before is None or watch.now is None:
            continue
        before = {outcome.key: outcome.price for outcome in change.before.outcomes}
        for outcome in change.after.outcomes:
            old, new = before.get(outcome.key), outcome.price
            if old is None or new is None or new > old * (1 - DROP):
                continue
            for bookmaker, price in sorted(slower(watch, change, outcome.key, new)):
                yield (
                    f"{watch.now.isoformat()} {change.event_id} {outcome.key}: {old:.2f} →"
                    f" {new:.2f} at {change.bookmaker}, still {price:.2f} at {bookmaker}"
                )


def slower(
    watch: SyncWatch | SyncReplay, change: MarketChange, outcome: str, price: float
) -> Iterator[tuple[str, float]]:
    """Yield the bookmakers whose price is higher and older, with that price."""
    entry = watch.odds.events[change.event_id]
    for odds in entry.bookmakers.values():
        market = odds.markets.get(change.key)
        if market is None or watch.now is None:
            continue
        if (watch.now - market.changed_at).total_seconds() < FRESH_S:
            continue
        for other in market.outcomes:
            if other.key == outcome and other.active and other.price and other.price > price:
                yield odds.bookmaker, other.price


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:
        sys.stderr.close()  # the reader has gone: no complaint at the end
