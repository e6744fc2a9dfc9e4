"""Markets that include the draw, so that `home` and `away` alone are incomplete.

A bookmaker may drop the draw for a while, and a source may leave it out. Combined with another
bookmaker's prices, the other two then look like a sure profit, yet a draw loses both bets.
"""

import re
from functools import lru_cache
from typing import Final

from odds_service.model.market import Outcome

THREE_WAY: Final = frozenset({"home", "draw", "away"})

# Sports whose `h2h` always includes the draw. In the others a two-way `h2h` is a bet of its own:
# bookmakers settle ice hockey and cricket with and without the draw, and baseball, boxing, MMA,
# basketball, American football, tennis and Australian rules without it.
DRAW_SPORTS: Final = frozenset(
    {
        "bandy",
        "beachsoccer",
        "fieldhockey",
        "futsal",
        "handball",
        "rugby",
        "rugbyleague",
        "rugbyunion",
        "soccer",
        "waterpolo",
    }
)
_OTHER_NAMES: Final = {
    "association": "soccer",
    "associationfootball": "soccer",
    "football": "soccer",
}
_DRAW_COMPETITIONS: Final = frozenset({"cricket_test_match"})  # one Test in four is drawn
# The whole match, a half, a quarter, a period, or a number of minutes; to back or to lay.
_RESULT: Final = re.compile(r"h2h(_(h[12]|q[1-4]|p[1-3]|m[0-9]+))?(_lay)?")
_TOLD: Final = "3_way"  # part of every market type that names the draw explicitly


@lru_cache(maxsize=4096)  # some hundred competitions, and the market types of each
def includes_draw(sport: str, competition: str, market: str) -> bool:
    """Return whether a market type always includes the draw in an event of this kind.

    Args:
        sport: The sport, as in Event.sport.
        competition: The competition, as in Event.competition.
        market: The market type, as in MarketKey.market.
    """
    if _TOLD in market:
        return True
    if _RESULT.fullmatch(market) is None:
        return False
    bare = "".join(filter(str.isalnum, sport.casefold()))
    return _OTHER_NAMES.get(bare, bare) in DRAW_SPORTS or competition in _DRAW_COMPETITIONS


def shows_draw(outcomes: tuple[Outcome, ...]) -> bool:
    """Return whether the outcomes are home, draw and away, with or without prices."""
    return len(outcomes) == 3 and {outcome.key for outcome in outcomes} == THREE_WAY
