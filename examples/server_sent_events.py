"""Print prices as they change, by HTTP alone: Server-Sent Events with httpx.

python examples/server_sent_events.py [SERVER [CHANGES]]

It ends by itself after CHANGES changes; without, at ^C. SERVER is the HTTP door's address.
"""

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx

SILENCE_S = 30.0  # the server sends a heartbeat every 10 s
WAIT_S = 1.0  # between two tries
MAY_PASS = {408, 429, 500, 502, 503, 504}


@dataclass
class Reader:
    """The state kept from one connection to the next."""

    left: int  # changes until the end
    last_id: str = ""  # the cursor to resume at
    names: dict[str, str] = field(default_factory=dict)  # event -> its name


def main(server: str = "127.0.0.1:8050", changes: str = "1000000000") -> None:
    """Follow the changes of all events, over disconnects and restarts of the server."""
    reader = Reader(int(changes))
    with httpx.Client(base_url=f"http://{server}", timeout=SILENCE_S) as client:
        while reader.left > 0:
            error, wait_s = follow(client, reader)
            if reader.left > 0:
                print(f"— {error}; trying again in {wait_s:.1f} s", flush=True)
                time.sleep(wait_s)


def follow(client: httpx.Client, reader: Reader) -> tuple[str, float]:
    """Read one stream until it ends; return the reason, and the seconds to wait."""
    headers = {"Last-Event-ID": reader.last_id} if reader.last_id else {}
    try:
        with client.stream(
            "GET", "/v1/changes", params={"markets": "h2h"}, headers=headers
        ) as response:
            if response.status_code != 200:
                return refused(response)
            for kind, id_, message in events(response.iter_lines()):
                if kind == "error":  # the stream ends with a google.rpc.Status
                    return message.get("message", "the stream ended"), WAIT_S
                show(kind, message, reader)
                reader.last_id = id_  # what came with it has been dealt with
                if reader.left <= 0:
                    break
            return "the stream ended", WAIT_S
    except httpx.TransportError as error:
        return str(error) or type(error).__name__, WAIT_S


def refused(response: httpx.Response) -> tuple[str, float]:
    """Return the reason and the wait of an answer that is no stream; exit if it would stay so."""
    response.read()
    if response.status_code not in MAY_PASS:
        raise SystemExit(f"{response.status_code}: {response.text}")
    told = response.headers.get("retry-after", "")
    return f"status {response.status_code}", float(told) if told.isdigit() else WAIT_S


def events(lines: Iterator[str]) -> Iterator[tuple[str, str, Any]]:
    """Yield the kind, the id and the message of each event of a stream."""
    fields: dict[str, str] = {}
    for line in lines:
        if line and not line.startswith(":"):  # a comment keeps a connection open
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        elif not line:
            if "data" in fields:
                yield fields.get("event", ""), fields.get("id", ""), json.loads(fields["data"])
            fields = {}


def show(kind: str, message: Any, reader: Reader) -> None:
    """Print a message of the stream."""
    if kind == "opened":
        reason = message["reason"].removeprefix("INTENT_REASON_").lower()
        print(f"— {reason} at revision {message['cursor'].get('revision', 0)}", flush=True)
    elif kind == "image":
        for entry in message["events"]:
            reader.names[entry["event"]["id"]] = entry["event"]["name"]
    elif kind == "changes":
        for change in message["changes"]:
            if "event" in change:
                reader.names[change["event"]["id"]] = change["event"]["name"]
            if "after" in change:
                print(line_of(change, reader.names), flush=True)
                reader.left -= 1


def line_of(change: Any, names: dict[str, str]) -> str:
    """Return a change of a market as a line of text."""
    name = names.get(change["eventId"], change["eventId"])
    kind = change["kind"].removeprefix("CHANGE_KIND_").lower()
    prices = [f"{each['key']} {each['price']:.2f}" if "price" in each else f"{each['key']} –"
              for each in change["after"].get("outcomes", [])]  # fmt: skip
    return f"{change['revision']} {name}, {change['bookmaker']}: {kind} {', '.join(prices)}"


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:
        sys.stderr.close()  # the reader has gone: no complaint at the end
