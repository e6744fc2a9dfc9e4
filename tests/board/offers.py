"""Offers that several tests of the board start from."""

from tests.board.rig import Match, Prices


def prices(
    home: float = 2.0, draw: float | None = 3.4, away: float = 3.9, over: float = 1.9
) -> dict[str, dict[str, float | None]]:
    """Return a bookmaker's winner and two totals."""
    return {
        "h2h": {"home": home, "draw": draw, "away": away},
        "totals 2.5": {"over": over, "under": 1.95},
        "totals 3.5": {"over": 2.7, "under": 1.45},
    }


def derby(minutes: float = 90.0, **bookmakers: dict[str, dict[str, float | None]]) -> Match:
    """Return a match of three bookmakers, `alfa` with the best home and `carol` the best away."""
    offered: Prices = {
        "alfa": prices(2.1, 3.3, 3.6),
        "bravo": prices(2.0, 3.5, 3.7),
        "carol": prices(1.95, 3.4, 3.95),
    } | bookmakers
    return Match("derby", "Harbour United", "Mill Rovers", minutes, offered)


def season(matches: int, first_minutes: float = 30.0) -> list[Match]:
    """Return many matches, one every three minutes."""
    return [
        Match(f"m{number:04}", f"Home {number:04}", f"Away {number:04}",
              first_minutes + 3 * number, {"alfa": prices(), "bravo": prices(1.9, 3.6)})
        for number in range(matches)
    ]  # fmt: skip
