"""The speed of the JSON mapping beside protobuf's own: `python -m tests.wire.json_speed`."""

import sys
from timeit import timeit

from google.protobuf import json_format

from odds_service.wire.json_mapping import to_json
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb

TIMES = 200


def main() -> None:
    changes = pb.Changes()
    for number in range(1, 21):
        change = changes.changes.add(
            revision=number, kind=pb.CHANGE_KIND_PRICES, event_id="toa:e1", source="the-odds-api",
            bookmaker="alfa",
        )  # fmt: skip
        change.detected_at.GetCurrentTime()
        change.after.key.market = "h2h"
        for outcome in ("home", "draw", "away"):
            change.after.outcomes.add(key=outcome, name=outcome, price=2.05)
    ours_s = timeit(lambda: to_json(changes), number=TIMES) / TIMES
    theirs_s = timeit(lambda: json_format.MessageToJson(changes, indent=None), number=TIMES) / TIMES
    sys.stdout.write(
        f"20 changes: {ours_s * 1e6:.0f} µs; json_format {theirs_s * 1e6:.0f} µs,"
        f" {theirs_s / ours_s:.1f} times as long\n"
    )


if __name__ == "__main__":
    main()
