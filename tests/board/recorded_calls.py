"""A real HTTP server before the demo's: it answers a few calls with JSON of a recorded shape.

Everything else goes through to the service behind it, streams as well. So a test knows each point
of a series, each gap and each run that the page has to show.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

HOSTILE: Final = "<img src=x onerror=alert(1)>"
Query = dict[str, list[str]]


def rfc3339(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat().replace("+00:00", "Z")


def series(query: Query) -> dict[str, Any]:
    """Three bookmakers: one leaves for a while, one ended, one comes late; the match has begun."""
    now = int(time.time())
    outcomes = ("home", "away")

    def one(name: str, ages_s: list[int], prices: list[Any], **more: Any) -> dict[str, Any]:
        return {
            "bookmaker": name,
            "source": "site-0",
            "atS": [now - age for age in ages_s],
            "offered": [price != "NaN" for price in prices],
            "overround": ["NaN" if price == "NaN" else 0.05 for price in prices],
            "prices": [{"outcome": key, "name": key, "prices": prices} for key in outcomes],
            **more,
        }

    key: dict[str, Any] = {"market": query["market"][0]}
    if "line" in query:
        key["line"] = float(query["line"][0])
    return {
        "event": {"id": query["eventId"][0], "name": "A v B", "startTime": rfc3339(now - 300)},
        "key": key,
        "series": [
            one("alfa", [900, 600, 400, 200], [1.8, 1.9, "NaN", 2.1], closing=1),
            one("bravo", [900, 500], [1.7, 1.75], closing=1, thinned=True),
            one(HOSTILE, [120], [2.5]),
        ],
        "fromTime": rfc3339(now - 900),
        "toTime": rfc3339(now),
        "cursor": {"epoch": "e", "revision": "7"},
        "gaps": True,
    }


def coverage(_: Query) -> dict[str, Any]:
    def book(name: str, events: int, **more: int) -> dict[str, Any]:
        return {"bookmaker": name, "source": "odds", "events": events, "markets": 7, **more}

    return {
        "competitions": [
            {
                "sport": "soccer",
                "competition": "soccer_first",
                "events": 4,
                "bookmakers": [book("alpha", 4), book("beta", 2, staleEvents=1)],
            },
            {
                "sport": "soccer",
                "competition": "soccer_second",
                "events": 2,
                "bookmakers": [book("alpha", 2)],
            },
        ],
        "cursor": {"epoch": "e", "revision": "7"},
    }


def unmapped(_: Query) -> dict[str, Any]:
    sample = {"eventId": "x", "eventName": "A v B", "outcomes": ["yes", HOSTILE]}
    row = {"source": "odds", "sport": "soccer", "samples": [sample], "lastSeenAt": rfc3339(1.7e9)}
    return {
        "markets": [
            row | {"name": "Seldom", "count": "3"},
            row | {"name": HOSTILE, "count": "12345"},
        ]
    }


def runs(query: Query) -> dict[str, Any]:
    begun: dict[str, Any] = {"listing": "soccer", "startedAt": rfc3339(1.7e9)}
    run = begun | {"duration": "1.250s", "events": 4}
    good = run | {"outcome": "RUN_OUTCOME_COMPLETE", "markets": 9, "changes": 2}
    bad = run | {
        "outcome": "RUN_OUTCOME_FAILED",
        "reason": f"status 503 {HOSTILE}",
        "problems": {"server_error": "1", HOSTILE: "2"},
    }
    # Its duration is not known, and a newer service has an outcome that this page does not know.
    half = begun | {"listing": "refresh", "outcome": "RUN_OUTCOME_PARTIAL"}
    new = run | {"outcome": "RUN_OUTCOME_NEW", "problems": {"bad_price": "1234"}}
    found: list[dict[str, Any]] = [
        good | {"source": "odds"},
        bad | {"source": "other"},
        half | {"source": "odds"},
        new | {"source": "odds"},
    ]
    return {
        "runs": [
            each for each in found if each["source"] in query.get("sources", [each["source"]])
        ],
        "nextPageToken": "older",
    }


RECORDED: Final[dict[str, Callable[[Query], dict[str, Any]]]] = {
    "/v1/series": series,
    "/v1/coverage": coverage,
    "/v1/unmapped": unmapped,
    "/v1/runs": runs,
}


@contextmanager
def recorded_calls(behind: str, *paths: str, lacking: tuple[str, ...] = ()) -> Iterator[str]:
    """Answer the named calls (none named: all of `RECORDED`); yield this server's address.

    Args:
        behind: the address of the service.
        paths: the calls to answer.
        lacking: the calls to answer with 404, as a service without them does.
    """
    host = urlsplit(behind).netloc
    own = {path: RECORDED[path] for path in paths or RECORDED}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            split = urlsplit(self.path)
            if split.path in own:
                body = json.dumps(own[split.path](parse_qs(split.query))).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                return
            if split.path in lacking:
                self.send_error(404)
                return
            self._pass_on()

        def _pass_on(self) -> None:
            connection = HTTPConnection(host)
            try:
                headers = {name: value for name, value in self.headers.items() if name != "Host"}
                connection.request("GET", self.path, headers=headers | {"Connection": "close"})
                answer = connection.getresponse()
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in {"transfer-encoding", "connection", "date", "server"}:
                        self.send_header(name, value)
                self.end_headers()
                while piece := answer.read1(65_536):
                    self.wfile.write(piece)
                    self.wfile.flush()
            except (BrokenPipeError, ConnectionResetError):
                pass  # the page went away
            finally:
                connection.close()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
