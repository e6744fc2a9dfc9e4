"""Print the best prices of each event and their combined overround: the synchronous client.

python examples/best_prices.py [SERVER]
"""

import sys
from datetime import UTC, datetime

from odds_service.client import Filter, open_sync_client


def main(server: str = "127.0.0.1:50051") -> None:
    """Print the best prices of every event once."""
    with open_sync_client(server) as client:
        odds = client.get_odds(Filter(markets=["h2h"]), include_best=True)
    for entry in odds.events.values():
        print(f"{entry.event.name}, {entry.event.start_time:%d %b %H:%M} UTC")
        for best in entry.best:
            legs = [f"{leg.outcome} {leg.price:.2f} {leg.bookmaker}" for leg in best.prices]
            print(f"  {', '.join(legs) or 'nobody is live'}")
            if best.combined_overround is not None and best.oldest_confirmed_at is not None:
                age_s = (datetime.now(UTC) - best.oldest_confirmed_at).total_seconds()
                word = "ARBITRAGE" if best.combined_overround < 0 else "overround"
                print(f"  {word} {best.combined_overround:+.2%}, oldest leg seen {age_s:.0f} s ago")
            if best.suspect_overround is not None:
                reasons = ", ".join(best.suspect_reasons)
                print(f"  SUSPECT {best.suspect_overround:+.2%}, not to be bet on: {reasons}")


if __name__ == "__main__":
    main(*sys.argv[1:])
