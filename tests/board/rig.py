"""A whole service with its HTTP door in a thread, and bookmakers whose offer a test changes."""

import json
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import httpx
import trio
from pydantic import SecretStr

from odds_service.config import HttpSettings, load_settings
from odds_service.service import Running, run_service
from tests.support.ports import free_port

SPORT: Final = "soccer_epl"
WAIT_S: Final = 60.0
INTERVAL_S: Final = 0.3  # after three of them without an answer all odds are stale

# bookmaker -> market -> outcome -> price; a market is `h2h`, `totals 2.5` or `player_shots 2.5 Who`
Prices = dict[str, dict[str, dict[str, float | None]]]


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Poll until a condition holds, which real input and output bring about."""
    until = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < until, f"not within {WAIT_S} s: {what}"
        time.sleep(0.01)


class Match:
    """A match as a bookmaker's site offers it."""

    def __init__(self, key: str, home: str, away: str, minutes: float, prices: Prices) -> None:
        self.key = key
        self.home = home
        self.away = away
        self.start = datetime.now(UTC) + timedelta(minutes=minutes)
        self.prices = prices

    def listed(self) -> dict[str, Any]:
        """Return the match in the shape of The Odds API."""
        return {
            "id": self.key, "sport_key": SPORT, "sport_title": "EPL",
            "commence_time": f"{self.start:%Y-%m-%dT%H:%M:%SZ}",
            "home_team": self.home, "away_team": self.away,
            "bookmakers": [self._bookmaker(*each) for each in self.prices.items()],
        }  # fmt: skip

    def _bookmaker(
        self, name: str, markets: Mapping[str, Mapping[str, float | None]]
    ) -> dict[str, Any]:
        shown: dict[str, list[dict[str, Any]]] = {}
        for market, prices in markets.items():
            key, point, participant = [*market.split(" ", 2), "", ""][:3]
            outcomes = shown.setdefault(key, [])
            for outcome, price in prices.items():
                listed: dict[str, Any] = {"name": self._side(outcome)}
                if price is not None:
                    listed["price"] = price
                if point:
                    listed["point"] = float(point)
                if participant:
                    listed["description"] = participant
                outcomes.append(listed)
        # A market whose outcomes cannot be read is offered still, and counts as suspended.
        markets_listed = [
            {"key": key, "outcomes": outcomes or [{"name": 5}]} for key, outcomes in shown.items()
        ]
        return {"key": name, "title": name, "markets": markets_listed}

    def _side(self, outcome: str) -> str:
        sides = {"home": self.home, "away": self.away, "draw": "Draw", "over": "Over",
                 "under": "Under"}  # fmt: skip
        return sides[outcome]


class Site:
    """A bookmaker's site, in a thread of its own.

    Attributes:
        down: Whether every request is answered with 503.
    """

    def __init__(self) -> None:
        self.down = False
        self._body = b"[]"
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                body = b"" if site.down else site._body
                self.send_response(503 if site.down else 200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Write no log."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="site")
        self._thread.start()

    def offer(self, matches: list[Match]) -> None:
        """Offer these matches from the next request on."""
        self._body = json.dumps([match.listed() for match in matches]).encode()

    def close(self) -> None:
        """Close the listener."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(WAIT_S)


class BoardRig:
    """The service and its sites; `address` stays over restarts."""

    def __init__(
        self,
        folder: Path,
        *,
        sites: int = 1,
        tokens: tuple[str, ...] = (),
        interval_s: float = INTERVAL_S,
        **limits: Any,
    ) -> None:
        self.sites = [Site() for _ in range(sites)]
        self.address = f"http://127.0.0.1:{free_port()}"
        tables = [
            {
                "kind": "the-odds-api", "name": f"site-{number}", "sports": [SPORT],
                "url": f"http://127.0.0.1:{site.port}", "api_key": "made-up",
                "interval_s": interval_s, "http": {"attempts": 1, "requests_per_s": 1_000},
            }
            for number, site in enumerate(self.sites)
        ]  # fmt: skip
        server = {"listen": "127.0.0.1:0", "tokens": list(tokens)} | limits
        settings = load_settings(server=server, database={"url": f"sqlite:///{folder / 'odds.db'}"})
        self._settings = settings.model_copy(
            update={
                "sources": tables,
                "http": HttpSettings(listen=self.address.removeprefix("http://")),
            }
        )
        self.start()

    def start(self) -> None:
        """Start the service and wait until it serves."""
        self._ready = threading.Event()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="service")
        self._thread.start()
        assert self._ready.wait(WAIT_S)
        if self._failed is not None:
            raise self._failed

    def _run(self) -> None:
        try:
            trio.run(self._main)
        except BaseException as error:
            self._failed = error
            self._ready.set()

    async def _main(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._stop = trio.Event()
        async with trio.open_nursery() as nursery:
            self.running: Running = await nursery.start(run_service, self._settings, self._stop)
            self._ready.set()

    def ask_for(self, *tokens: str) -> None:
        """Accept these tokens alone, from the next start on."""
        server = self._settings.server.model_copy(
            update={"tokens": [SecretStr(token) for token in tokens]}
        )
        self._settings = self._settings.model_copy(update={"server": server})

    def stop(self) -> None:
        """Stop the service in order."""
        trio.from_thread.run_sync(self._stop.set, trio_token=self._token)
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()
        assert self._failed is None, self._failed

    def close(self) -> None:
        """Stop everything."""
        self.stop()
        for site in self.sites:
            site.close()

    @property
    def streams(self) -> int:
        """The number of open streams of changes."""
        return self.running.server.subscribers

    def most_behind(self) -> int:
        """Return the changes that the slowest stream is behind."""
        streams = httpx.get(f"{self.address}/v1/status", timeout=30).json()["subscribers"]
        return max(int(each.get("lagChanges", 0)) for each in streams)

    @property
    def head(self) -> int:
        """The newest revision."""
        return self.running.parts.feed.head_revision
