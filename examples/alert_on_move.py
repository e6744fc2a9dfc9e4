"""Print price moves of at least PERCENT per cent until ^C: the client under Trio.

python examples/alert_on_move.py [PERCENT [SERVER [ALERTS]]]

PERCENT is 2 without it. It ends by itself after ALERTS alerts.
"""

import sys
from functools import partial

import trio

from odds_service.client import (
    Changes,
    Disconnected,
    Filter,
    MarketChange,
    OddsMap,
    Opened,
    open_client,
)


async def main(
    percent: str = "2", server: str = "127.0.0.1:50051", alerts: str = "1000000000"
) -> None:
    """Print moves of at least so many per cent."""
    least, left = float(percent) / 100, int(alerts)
    async with open_client(server) as client:
        watch = client.watch(Filter(markets=["h2h"]), wait_for_server=True)
        async for step in watch.steps():  # reconnects without missing a change
            if isinstance(step, Disconnected):
                print(f"— {step.error}; trying again in {step.retry_in_s:.1f} s", flush=True)
            elif isinstance(step, Opened):
                print(f"— {step.reason} at revision {step.cursor.revision}", flush=True)
            elif isinstance(step, Changes):
                for change in step.changes:
                    if isinstance(change, MarketChange):
                        for text in alerts_of(change, watch.odds, least):
                            print(text, flush=True)
                            left -= 1
                            if left == 0:
                                return


def alerts_of(change: MarketChange, odds: OddsMap, least: float) -> list[str]:
    """Return a line for each outcome that has moved by at least that share."""
    entry = odds.events.get(change.event_id)  # None once the event is over
    name = change.event_id if entry is None else entry.event.name
    return [
        f"{change.detected_at:%H:%M:%S} {name}, {outcome} at {change.bookmaker}:"
        f" {before:.2f} → {after:.2f}"
        for outcome, before, after in moves(change)
        if abs(after / before - 1) >= least
    ]


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
    try:
        trio.run(partial(main, *sys.argv[1:]))
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:
        sys.stderr.close()  # the reader has gone: no complaint at the end
