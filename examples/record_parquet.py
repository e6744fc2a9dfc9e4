"""Record every price change in a Parquet file until ^C: the client under asyncio.

python examples/record_parquet.py [FILE [SERVER [CHANGES]]]

FILE is changes-TIME.parquet without it. It ends by itself after CHANGES changes. The service's own
history has the changes of other times: `odds-service history --export`.
"""

import asyncio
import sys
import time
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as parquet

from odds_service.client import (
    Changes,
    Disconnected,
    Lagged,
    MarketChange,
    Opened,
    open_client,
)

TELL_S = 5.0  # between two lines about the progress
SCHEMA = pa.schema(
    {
        "revision": pa.uint64(),
        "detected_at": pa.timestamp("us", tz="UTC"),
        "event_id": pa.string(),
        "bookmaker": pa.string(),
        "market": pa.string(),
        "line": pa.string(),
        "outcome": pa.string(),
        "price": pa.float64(),
    }
)


async def main(
    file: str = "", server: str = "127.0.0.1:50051", changes: str = "1000000000"
) -> None:
    """Append every price change to a Parquet file."""
    left, recorded, told_s = int(changes), 0, 0.0
    file = file or f"changes-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.parquet"
    print(f"recording to {file}", flush=True)
    with parquet.ParquetWriter(file, SCHEMA) as writer:
        async with open_client(server) as client, client.watch(wait_for_server=True) as watch:
            async for step in watch.steps():  # one message at a time, each a row group
                if isinstance(step, Disconnected):
                    print(f"— {step.error}; trying again in {step.retry_in_s:.1f} s", flush=True)
                elif isinstance(step, Opened):
                    print(f"— {step.reason} at revision {step.cursor.revision}", flush=True)
                elif isinstance(step, Lagged):
                    print(f"revisions {step.lost_from} to {step.lost_to} are missing", flush=True)
                if not isinstance(step, Changes):
                    continue
                moved = [change for change in step.changes if isinstance(change, MarketChange)]
                rows = [row for change in moved for row in rows_of(change)]
                if rows:
                    writer.write_table(pa.Table.from_pylist(rows, SCHEMA))
                recorded += len(moved)
                left -= len(moved)
                if left <= 0:
                    return
                if time.monotonic() - told_s >= TELL_S:
                    told_s = time.monotonic()
                    print(f"{recorded} changes so far", flush=True)


def rows_of(change: MarketChange) -> list[dict[str, object]]:
    """Return a row per outcome; none if the market is gone."""
    return [
        {
            "revision": change.revision,
            "detected_at": change.detected_at,
            "event_id": change.event_id,
            "bookmaker": change.bookmaker,
            "market": change.key.market,
            "line": change.key.line or None,
            "outcome": outcome.key,
            "price": outcome.price if outcome.active else None,
        }
        for outcome in change.after.outcomes
    ]


if __name__ == "__main__":
    try:
        asyncio.run(main(*sys.argv[1:]))
    except KeyboardInterrupt:
        pass  # the file is complete: `with` has closed it
    except BrokenPipeError:
        sys.stderr.close()  # the reader has gone: no complaint at the end
