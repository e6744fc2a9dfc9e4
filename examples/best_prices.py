"""Print the best prices of each event, and again when its odds move: the synchronous client.

python examples/best_prices.py [SERVER [CHANGES]]

It ends by itself after CHANGES changes; without, at ^C.
"""

import sys
from datetime import UTC, datetime

from odds_service.client import (
    Changes,
    Disconnected,
    Filter,
    ImageLoaded,
    MarketChange,
    OddsMap,
    Opened,
    open_sync_client,
)


def main(server: str = "127.0.0.1:50051", changes: str = "1000000000") -> None:
    """Follow the best prices of all events."""
    left = int(changes)
    with (
        open_sync_client(server) as client,
        client.watch(Filter(markets=["h2h"]), wait_for_server=True) as watch,
    ):
        for step in watch.steps():  # reconnects without missing a change
            if isinstance(step, Disconnected):
                print(f"— {step.error}; trying again in {step.retry_in_s:.1f} s", flush=True)
            elif isinstance(step, Opened):
                print(f"— {step.reason} at revision {step.cursor.revision}", flush=True)
            elif isinstance(step, ImageLoaded):
                for event_id in watch.odds.events:
                    show(watch.odds, event_id)
            elif isinstance(step, Changes):
                moved = [each for each in step.changes if isinstance(each, MarketChange)]
                for event_id in dict.fromkeys(each.event_id for each in moved):
                    show(watch.odds, event_id)
                left -= len(moved)
                if left <= 0:
                    return


def show(odds: OddsMap, event_id: str) -> None:
    """Print the best prices of an event; nothing if it is over."""
    if event_id not in odds.events:
        return
    event = odds.events[event_id].event
    print(f"{event.name}, {event.start_time:%d %b %H:%M} UTC")
    for best in odds.best(event_id):
        legs = [f"{leg.outcome} {leg.price:.2f} {leg.bookmaker}" for leg in best.prices]
        print(f"  {', '.join(legs) or 'nobody is live'}")
        if best.combined_overround is not None and best.oldest_confirmed_at is not None:
            age_s = (datetime.now(UTC) - best.oldest_confirmed_at).total_seconds()
            word = "ARBITRAGE" if best.combined_overround < 0 else "overround"
            print(f"  {word} {best.combined_overround:+.2%}, oldest leg seen {age_s:.0f} s ago")
        if best.suspect_overround is not None:
            reasons = ", ".join(best.suspect_reasons)
            print(f"  SUSPECT {best.suspect_overround:+.2%}, not to be bet on: {reasons}")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:
        sys.stderr.close()  # the reader has gone: no complaint at the end
