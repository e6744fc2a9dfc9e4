"""The HTTP endpoints of SportyBet, BetPawa and Bet9ja, over given payloads.

Each application serves the events on its shelf: discovery by tournaments, in pages where the
provider has pages, and one payload per event, in the provider's shapes and with its result codes.
The payloads are recorded ones, or those of `tests.support.payloads`.
"""

import json
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Final

import trio
from starlette.requests import Request
from starlette.responses import Response

SPORTYBET_SUCCESS: Final = 10_000
BETPAWA_PAGE_LIMIT: Final = 100


class ProviderShelf(ABC):
    """A provider's site over a shelf of payloads, which may change at any time.

    Attributes:
        events: Event id -> payload of the event's endpoint, without the envelope.
        unlisted: Ids that the endpoint has and discovery leaves out, as for started events.
        requests: The requested paths, in order.
    """

    name: ClassVar[str]

    def __init__(self, *payloads: Any) -> None:
        self.events: dict[str, Any] = {}
        self.unlisted: set[str] = set()
        self.requests: list[str] = []
        for payload in payloads:
            self.put(payload)

    def put(self, payload: Any) -> str:
        """Put a payload on the shelf in place of the event's earlier one; return the event's id."""
        event_id = self.id_of(payload)
        self.events[event_id] = payload
        return event_id

    @property
    def listed(self) -> list[Any]:
        """Return the payloads that discovery shows."""
        return [
            payload for event_id, payload in self.events.items() if event_id not in self.unlisted
        ]

    async def __call__(self, request: Request) -> Response:
        await trio.lowlevel.checkpoint()
        self.requests.append(request.url.path)
        return self.answer(request, await request.body())

    @staticmethod
    @abstractmethod
    def id_of(payload: Any) -> str:
        """Return the id under which an event's payload is fetched."""

    @abstractmethod
    def answer(self, request: Request, body: bytes) -> Response:
        """Return the site's answer to a request."""


class SportyBetShelf(ProviderShelf):
    """`/api/{country}/factsCenter`, where a payload is the `data` of an answer."""

    name = "sportybet"

    @staticmethod
    def id_of(payload: Any) -> str:
        return str(payload["eventId"])

    def answer(self, request: Request, body: bytes) -> Response:
        *_, call = request.url.path.split("/")
        if call == "event":
            payload = self.events.get(request.query_params.get("eventId") or "")
            if payload is not None and not self._is_of(
                payload, request.query_params.get("productId")
            ):
                payload = payload | {"markets": []}
            return self._success(payload)
        if call == "popularAndSportList":
            return self._success({"sportList": self._sports()})
        if call == "pcEvents":
            return self._success(
                [
                    {"id": tournament, "events": self._listed(tournament)}
                    for query in json.loads(body)
                    for group in query["tournamentId"]
                    for tournament in group
                ]
            )
        return _json({"bizCode": 19_000, "message": "no such call"}, 404)

    @staticmethod
    def _is_of(payload: Any, product: str | None) -> bool:
        """Return whether an event belongs to a product: before its start, or in play."""
        return bool(payload.get("status", 0)) == (product == "1")

    def _sports(self) -> list[Any]:
        sports: dict[str, dict[str, dict[str, Any]]] = {}
        for payload in self.listed:
            sport = payload["sport"]
            category = sport["category"]
            tournaments = sports.setdefault(sport["id"], {}).setdefault(category["id"], {})
            tournaments[category["tournament"]["id"]] = category["tournament"]
        return [
            {
                "id": sport,
                "categories": [
                    {"id": category, "tournaments": list(tournaments.values())}
                    for category, tournaments in categories.items()
                ],
            }
            for sport, categories in sports.items()
        ]

    def _listed(self, tournament: str) -> list[Any]:
        fields = ("eventId", "estimateStartTime", "status", "homeTeamName", "awayTeamName")
        return [
            {name: payload.get(name) for name in fields if name in payload}
            for payload in self.listed
            if payload["sport"]["category"]["tournament"]["id"] == tournament
        ]

    @staticmethod
    def _success(data: Any) -> Response:
        return _json({"bizCode": SPORTYBET_SUCCESS, "message": "0#0", "data": data})


class BetPawaShelf(ProviderShelf):
    """`/api/sportsbook/v3`, where a payload is the whole body and an unknown event is a 404."""

    name = "betpawa"

    @staticmethod
    def id_of(payload: Any) -> str:
        return str(payload["id"])

    def answer(self, request: Request, body: bytes) -> Response:
        parts = request.url.path.removeprefix("/api/sportsbook/v3/").split("/")
        if parts[:2] == ["categories", "list"]:
            return _json({"withRegions": [self._category(parts[2])], "onlyMeta": []})
        if parts == ["events", "lists", "by-queries"]:
            queries = json.loads(request.query_params.get("q") or "{}")["queries"]
            return _json({"responses": [{"responses": self._page(query)} for query in queries]})
        if parts[0] == "events" and parts[-1] in self.events:
            return _json(self.events[parts[-1]])
        return _json({"error": "not found"}, 404)

    def _category(self, sport: str) -> Any:
        competitions = {
            payload["competition"]["id"]: payload["competition"]
            for payload in self.listed
            if payload["category"]["id"] == sport
        }
        region = {"region": {"id": "1"}}
        entries = [{"competition": each} for each in competitions.values()]
        return {"category": {"id": sport}, "regions": [region | {"competitions": entries}]}

    def _page(self, query: Any) -> list[Any]:
        wanted = query["query"]
        competitions = wanted.get("zones", {}).get("competitions")
        fields = ("id", "name", "startTime", "widgets", "competition", "additionalInfo")
        found = [
            {name: payload[name] for name in fields if name in payload}
            for payload in self.listed
            if payload["category"]["id"] in wanted["categories"]
            and (competitions is None or payload["competition"]["id"] in competitions)
            and bool((payload.get("additionalInfo") or {}).get("live"))
            == (wanted["eventType"] == "LIVE")
        ]
        skip, take = query["skip"], min(query["take"], BETPAWA_PAGE_LIMIT)
        return found[skip : skip + take]


class Bet9jaShelf(ProviderShelf):
    """`/desktop/feapi/PalimpsestAjax`, where a payload is the `D` of an answer.

    For an unknown event, `R` is `E`.
    """

    name = "bet9ja"

    @staticmethod
    def id_of(payload: Any) -> str:
        return str(payload["ID"])

    def answer(self, request: Request, body: bytes) -> Response:
        *_, call = request.url.path.split("/")
        if call == "GetEvent":
            payload = self.events.get(request.query_params.get("EVENTID") or "")
            return _json({"R": "E"} if payload is None else {"R": "OK", "D": payload})
        if call == "GetSports":
            return _json({"R": "OK", "D": {"PAL": self._tree()}})
        if call == "GetEventsInGroupV2":
            group = request.query_params.get("GROUPID")
            fields = ("ID", "EXTID", "STARTDATE", "DS")
            found = [
                {name: payload[name] for name in fields if name in payload}
                for payload in self.listed
                if str(payload["GID"]) == group
            ]
            return _json({"R": "OK", "D": {"E": found}})
        return _json({"R": "E"}, 404)

    def _tree(self) -> Any:
        tree: dict[str, Any] = {}
        for payload in self.listed:
            sport = tree.setdefault(str(payload["SID"]), {"S_DESC": payload["S"], "SG": {}})
            region = sport["SG"].setdefault(str(payload["SGID"]), {"G": {}})
            region["G"][str(payload["GID"])] = {"G_DESC": payload["GN"]}
        return tree


def _json(value: Any, status: int = 200) -> Response:
    return Response(json.dumps(value).encode(), status)
