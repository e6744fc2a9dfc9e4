"""A subscriber over gRPC that notes when it got the prices of one event; for `board`.

`python -m tools.benchmarks.price_watch ADDRESS EVENT` prints `{}` once it has the image, and
answers each line with what came since the last one: `[[thousandths, time.time()], …]`.
"""

import sys
import threading
import time
from typing import Final

import grpc

from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from odds_service.wire.pb.odds.v1 import odds_pb2_grpc as pb_grpc
from tools.benchmarks.processes import tell

_ENDED: Final = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED})


def main(address: str, event: str) -> None:
    """Follow the event until stdin ends."""
    seen: list[tuple[int, float]] = []
    ready = threading.Event()

    def follow() -> None:
        try:
            for message in stub.WatchChanges(request):
                now = time.time()
                if message.HasField("image_end"):
                    ready.set()
                for change in message.changes.changes:
                    before = {each.key: each.price for each in change.before.outcomes}
                    seen.extend(
                        (round(each.price * 1_000), now)
                        for each in change.after.outcomes
                        if each.price != before.get(each.key)
                    )
        except grpc.RpcError as error:
            if error.code() not in _ENDED:
                raise

    with grpc.insecure_channel(address) as channel:
        stub = pb_grpc.OddsServiceStub(channel)
        request = pb.WatchChangesRequest(filter=pb.Filter(event_ids=[event]))
        threading.Thread(target=follow, daemon=True).start()
        ready.wait(60)
        tell({})
        for _ in iter(sys.stdin.readline, ""):
            some, seen[:] = list(seen), []
            tell(some)


if __name__ == "__main__":
    main(*sys.argv[1:])
