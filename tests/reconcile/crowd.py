"""Recorded matches with their ids hidden, among the fixtures of 36 leagues and their look-alikes.

All kick off when one of the three recorded matches does, so that only names tell them apart.
"""

import json
import random
import re
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from odds_service.model.match import SourceRef
from odds_service.model.observation import ObservedEvent
from tests.reconcile.showing import shown
from tests.support.recorded import ODDS_API, RECORDED

MATCHES = ("prematch", "wc_nf", "live")
BOOKMAKERS = ("sportybet", "betpawa", "bet9ja")

Showing = dict[str, list[ObservedEvent]]  # by source


class Crowd(NamedTuple):
    """The source events that the sources show, grouped by the game that each stands for."""

    sources: Showing
    truth: list[frozenset[SourceRef]]


def recorded_match(bookmaker: str, name: str) -> ObservedEvent:
    """Return the event of a recorded payload without its shared id, read with plain dicts."""
    body = json.loads((RECORDED / bookmaker / f"{name}.json").read_bytes())
    home, away, start, competition = _READ[bookmaker](body)
    return shown(name, home, away, start=start, competition=competition)


def _sportybet(body: dict[str, Any]) -> tuple[str, str, datetime, str]:
    data = body["data"]
    start = datetime.fromtimestamp(data["estimateStartTime"] / 1000, UTC)
    category = data["sport"]["category"]
    competition = f"{category['name']} {category['tournament']['name']}"
    return data["homeTeamName"], data["awayTeamName"], start, competition


def _betpawa(body: dict[str, Any]) -> tuple[str, str, datetime, str]:
    home, away = (side["name"] for side in body["participants"])
    competition = f"{body['region']['name']} {body['competition']['name']}"
    return home, away, datetime.fromisoformat(body["startTime"]), competition


def _bet9ja(body: dict[str, Any]) -> tuple[str, str, datetime, str]:
    data = body["D"].get("AA", body["D"])  # `AA` in play
    home, away = data["DS"].split(" - ")
    start = datetime.fromisoformat(data["STARTDATE"]).replace(tzinfo=UTC)
    return home, away, start, f"{data.get('SG', '')} {data.get('GN', '')}"


_READ = {"sportybet": _sportybet, "betpawa": _betpawa, "bet9ja": _bet9ja}


def fixtures() -> list[tuple[str, str]]:
    """Return the sides of every fixture in the recorded pulls of the leagues, each once."""
    found: dict[str, tuple[str, str]] = {}
    with zipfile.ZipFile(ODDS_API / "soccer_36_leagues_three_pulls_202408.zip") as pulls:
        for name in sorted(pulls.namelist()):
            if name.endswith(".json"):
                body = json.loads(pulls.read(name))
                events = body if isinstance(body, list) else []
                for event in events:
                    if "home_team" in event:
                        found[event["id"]] = event["home_team"], event["away_team"]
    return sorted(set(found.values()))


def _map_words(name: str, change: Callable[[str], str]) -> str:
    return " ".join(filter(None, map(change, name.split())))


def without_accents(name: str) -> str:
    """Write a name in ASCII: `Deportivo La Coruna`."""
    bare = name.translate(str.maketrans("øØłŁđĐßı", "oOlLdDsi"))
    return unicodedata.normalize("NFKD", bare).encode("ascii", "ignore").decode()


def transliterated(name: str) -> str:
    """Write umlauts as two letters (`Koeln`, `Malmoe`), and drop other accents."""
    table = {"ö": "oe", "ü": "ue", "ä": "ae", "ø": "oe", "å": "aa", "æ": "ae", "ß": "ss"}
    table |= {letter.upper(): two.title() for letter, two in table.items()}
    return without_accents("".join(table.get(letter, letter) for letter in name))


_CLUB = re.compile(r"\b(FC|CF|SC|FK|AC|AS|IF|BK|SV|SK|CD|CA|JK|IK|SD|US|NK|FF|1\.)(?= |$)")


def club_words_dropped(name: str) -> str:
    return " ".join(_CLUB.sub("", name).split()) or name


def club_word_moved(name: str) -> str:
    """Move the club word to the other end (`FC Tokyo`, `Tokyo FC`), or add one."""
    words = name.split()
    if words[0] == "FC":
        return " ".join([*words[1:], "FC"])
    if words[-1] == "FC":
        return " ".join(["FC", *words[:-1]])
    return f"{name} FC"


_SHORT = {
    "United": "Utd",
    "Manchester": "Man",
    "Sheffield": "Sheff",
    "Wednesday": "Wed",
    "Nottingham": "Nottm",
    "Saint": "St",
    "Atlético": "Atl.",
    "Atletico": "Atl.",
    "Athletic": "Ath",
    "Deportivo": "Dep.",
    "Deportes": "Dep.",
    "Wanderers": "W.",
    "Rangers": "R.",
    "Albion": "",
    "Hotspur": "",
    "and": "&",
    "Borussia": "B.",
    "Universidad": "U.",
    "Town": "",
    "County": "Co",
}


def abbreviated(name: str) -> str:
    """Abbreviate a name (`Man Utd`, `B. Dortmund`); a name of one word stays."""
    if name in ("Queens Park Rangers", "Paris Saint Germain", "West Bromwich Albion"):
        return {"Q": "QPR", "P": "PSG", "W": "West Brom"}[name[0]]
    return _map_words(name, lambda word: _SHORT.get(word, word)) if " " in name else name


def punctuated(name: str) -> str:
    """Write a name with other capitals and punctuation: `BODO-GLIMT`."""
    return without_accents(name).upper().replace("/", "-").replace(" ", "-", 1)


def shortened(name: str) -> str:
    """Return only the word that the club is known by, where there is one."""
    words = club_words_dropped(name).split()
    lone = len(words) > 1 and len(words[0]) > 4 and words[1] in _FOLLOWING
    return words[0] if lone else name


_FOLLOWING = frozenset(
    word
    for line in (
        "Hotspur Albion Wanderers Athletic and Argyle Alexandra Stanley Orient Antlers Reysol",
        "Frontale Bellmare Grampus Steelers Piraeus Agrinio Białystok Warszawa Częstochowa",
        "Zabrze Montevideo Santander Lisbon Wien Almelo Enschede Wilrijk Sittard Eindhoven Porto",
    )
    for word in line.split()
)

VARIANTS: dict[str, Callable[[str], str]] = {
    "accents stripped": without_accents,
    "transliterated": transliterated,
    "club words dropped": club_words_dropped,
    "club word moved": club_word_moved,
    "abbreviated": abbreviated,
    "punctuated": punctuated,
    "shortened": shortened,
}

# How sources mark another team of a club, each in a way of its own.
MARKS: dict[str, tuple[str, ...]] = {
    "women": ("Women", "(W)", "Ladies", "Femenino", "W", "Frauen"),
    "u19": ("U19", "Under-19", "U-19", "(U19)", "Sub 19"),
    "u21": ("U21", "U-21", "Under 21", "(U21)"),
    "reserve": ("II", "Res.", "B", "Reserves", "(Res)"),
}


_BOTH = "leagues", "variants"
_SHOWING: tuple[tuple[str, ...], ...] = (_BOTH, _BOTH, ("leagues",), ("variants",))


def crowd(seed: int) -> Crowd:
    """All sources of a day; three of them show the recorded matches, the others the leagues.

    The leagues are shown by one source as recorded, by another in a variant of the names, half of
    the fixtures by one alone; of every third both also show another team of the clubs, of every
    third only one does.
    """
    dice = random.Random(seed)
    sources: Showing = {}
    truth: list[frozenset[SourceRef]] = []
    starts = []
    for name in MATCHES:
        matches = {bookmaker: recorded_match(bookmaker, name) for bookmaker in BOOKMAKERS}
        starts.append(matches["betpawa"].start_time)
        for bookmaker, match in matches.items():
            sources.setdefault(bookmaker, []).append(match)
        truth.append(frozenset((bookmaker, name) for bookmaker in BOOKMAKERS))
        for mark, suffixes in MARKS.items():
            showing = dice.sample(BOOKMAKERS, dice.randint(1, 3))
            event_id = f"{name} {mark}"
            for bookmaker in showing:
                match = matches[bookmaker]
                suffix = dice.choice(suffixes)
                home, away = (f"{side} {suffix}" for side in (match.home, match.away))
                start = match.start_time
                sources[bookmaker].append(shown(event_id, home, away, start=start))
            truth.append(frozenset((bookmaker, event_id) for bookmaker in showing))
    for place, (home, away) in enumerate(fixtures()):
        start = starts[place % len(starts)]
        event_id = f"league {place}"
        change = VARIANTS[dice.choice(sorted(VARIANTS))]
        minutes = dice.choice((0, 0, 0, 1, 5))
        recorded = shown(event_id, home, away, start=start)
        varied = shown(event_id, change(home), change(away), start=start, minutes=minutes)
        shows = dice.choice(_SHOWING)
        for source, event in (("leagues", recorded), ("variants", varied)):
            if source in shows:
                sources.setdefault(source, []).append(event)
        truth.append(frozenset((source, event_id) for source in shows))
        if place % 3 == 2:
            continue
        mark = dice.choice(sorted(MARKS))
        event_id = f"{mark} {place}"
        both = place % 3 == 0
        shows = _BOTH[: both + 1]
        for source, suffix in zip(shows, dice.sample(MARKS[mark], 2), strict=False):
            sides = f"{home} {suffix}", f"{away} {suffix}"
            sources.setdefault(source, []).append(shown(event_id, *sides, start=start))
        truth.append(frozenset((source, event_id) for source in shows))
    return Crowd(sources, truth)


def variants() -> Iterator[tuple[str, Crowd]]:
    """Yield each kind of variant with the fixtures of the leagues, written so and as recorded."""
    for kind, change in VARIANTS.items():
        sources: Showing = {"leagues": [], "variants": []}
        truth = []
        for place, (home, away) in enumerate(fixtures()):
            event_id = f"league {place}"
            sources["leagues"].append(shown(event_id, home, away))
            sources["variants"].append(shown(event_id, change(home), change(away)))
            truth.append(frozenset((source, event_id) for source in sources))
        yield kind, Crowd(sources, truth)
