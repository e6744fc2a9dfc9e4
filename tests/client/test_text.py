"""Messages as text."""

import json

from odds_service.client import json_line
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb


def test_json_lines_name_their_fields_as_the_contract_does() -> None:
    """Names are lowerCamelCase and 64-bit integers are text, as other protobuf libraries expect."""
    heartbeat = pb.Heartbeat(cursor=pb.Cursor(epoch="e1", revision=2**40), prev_revision=1)
    assert json.loads(json_line(pb.WatchChangesResponse(heartbeat=heartbeat))) == {
        "heartbeat": {"cursor": {"epoch": "e1", "revision": str(2**40)}, "prevRevision": "1"}
    }
