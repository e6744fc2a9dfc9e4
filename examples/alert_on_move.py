"""Print price moves of at least PERCENT per cent until ^C: the client under Trio.

python examples/alert_on_move.py PERCENT [SERVER [ALERTS]]

It ends by itself after ALERTS alerts.
"""

import sys
from functools import partial

import trio

from odds_service.client import Filter, MarketChange, open_client


async def main(percent: str, server: str = "127.0.0.1:50051", alerts: str = "1000000000") -> None:
    """Print moves of at least so many per cent."""
    least, left = float(percent) / 100, int(alerts)
    async with open_client(server) as client:
        watch = client.watch(Filter(markets=["h2h"]))
        async for change in watch:  # reconnects without missing a change
            if not isinstance(change, MarketChange):
                continue
            event = watch.odds.events[change.event_id].event
            for outcome, before, after in moves(change):
                if abs(after / before - 1) < least:
                    continue
                print(
                    f"{change.detected_at:%H:%M:%S} {event.home} – {event.away}, {outcome} at"
                    f" {change.bookmaker}: {before:.2f} → {after:.2f}",
                    flush=True,
                )
                left -= 1
                if left == 0:
                    return


def moves(change: MarketChange) -> list[tuple[str, float, float]]:
    """Return the outcomes that have a price before and after."""
    before = change.before.outcomes if change.before is not None else ()
    prices = {outcome.key: outcome.price for outcome in before}
    return [
        (outcome.key, old, outcome.price)
        for outcome in change.after.outcomes
        if (old := prices.get(outcome.key)) and outcome.price
    ]


if __name__ == "__main__":
    trio.run(partial(main, *sys.argv[1:]))
