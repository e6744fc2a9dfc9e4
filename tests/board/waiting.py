"""Waits for odds in a service: its head moves before them, with the states of its sources."""

import httpx

from tests.board.rig import BoardRig, wait_for

BOOKMAKERS = 3
MARKETS = 3


def wait_for_derby(rig: BoardRig, home: float = 2.1) -> None:
    """Wait until all odds of the derby are served, and alfa's home price is this one."""

    def served() -> bool:
        reply = client.get("/v1/odds", params={"eventIds": "toa:derby"}).raise_for_status().json()
        books = [book for event in reply.get("events", []) for book in event["bookmakers"]]
        prices = [
            outcome["price"]
            for book in books
            if book["bookmaker"] == "alfa"
            for market in book["markets"]
            for outcome in market["outcomes"]
            if (market["key"]["market"], outcome["key"]) == ("h2h", "home")
        ]
        complete = [book for book in books if len(book["markets"]) >= MARKETS]
        return len(complete) == BOOKMAKERS and prices == [home]

    with httpx.Client(base_url=rig.address) as client:
        wait_for(served, f"the derby with a home price of {home}")
