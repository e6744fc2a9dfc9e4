"""Word lists for the names of teams, players and competitions.

All words have the form that `names.plain` returns: lower case, without accents, dots and
apostrophes. Add further variants of names here.
"""

from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Generic words for a club. They are ignored unless the name has no other words.
CLUB: Final = _words("""
    ac acf afc aik as bc bk bsc ca calcio cd cf cfc club clube cs css ec fa fc ff fk football foot
    fsv futbol futebol gd hc if ifk ik jk kf kfc kk krc ks kv mks nk osc pfc rc rcd sad sc sd se
    sfc sk spvgg ss ssc ssd sv team the tsg tsv ud us vfb vfl bv ev sp spor klub
""")

# One word for another; also names of one city in two languages.
SAME: Final = {
    "utd": "united",
    "ath": "athletic",
    "athl": "athletic",
    "atl": "atletico",
    "atletic": "atletico",
    "dep": "deportivo",
    "deportes": "deportivo",
    "int": "inter",
    "internazionale": "inter",
    "st": "saint",
    "ste": "saint",
    "sankt": "saint",
    "sint": "saint",
    "mt": "mount",
    "ft": "fort",
    "univ": "universidad",
    "spvg": "spvgg",
    "dinamo": "dynamo",
    "munich": "munchen",
    "muenchen": "munchen",
    "cologne": "koln",
    "koeln": "koln",
    "nuremberg": "nurnberg",
    "lisboa": "lisbon",
    "praha": "prague",
    "warszawa": "warsaw",
    "wien": "vienna",
    "roma": "rome",
    "torino": "turin",
    "milano": "milan",
    "napoli": "naples",
    "sevilla": "seville",
    "kobenhavn": "copenhagen",
    "kopenhagen": "copenhagen",
    "goteborg": "gothenburg",
    "moskva": "moscow",
    "moskau": "moscow",
    "beograd": "belgrade",
    "bucuresti": "bucharest",
    "athina": "athens",
    "kiev": "kyiv",
    "kiyv": "kyiv",
    "lvov": "lviv",
    "kharkov": "kharkiv",
    "odesa": "odessa",
    "antwerpen": "antwerp",
    "bruges": "brugge",
    "liege": "luik",
    "ghent": "gent",
    "basle": "basel",
    "zuerich": "zurich",
    "luzern": "lucerne",
    "piraeus": "pireas",
    "thessaloniki": "saloniki",
    "salonika": "saloniki",
    "wolves": "wolverhampton",
    "spurs": "tottenham",
    "olympiakos": "olympiacos",
    "czechia": "czech",
    "turkiye": "turkey",
    "holland": "netherlands",
    "cabo": "cape",
    "pr": "",
    "republic": "",
    "rep": "",
}

# Phrases and their replacements; the longest match wins.
PHRASES: Final = {
    ("korea", "republic"): ("south", "korea"),
    ("republic", "of", "korea"): ("south", "korea"),
    ("korea", "dpr"): ("north", "korea"),
    ("dpr", "korea"): ("north", "korea"),
    ("republic", "of", "ireland"): ("ireland",),
    ("rep", "of", "ireland"): ("ireland",),
    ("dominican", "republic"): ("dominicana",),
    ("dominican", "rep"): ("dominicana",),
    ("congo", "dr"): ("drcongo",),
    ("dr", "congo"): ("drcongo",),
    ("democratic", "republic", "of", "congo"): ("drcongo",),
    ("democratic", "republic", "of", "the", "congo"): ("drcongo",),
    ("usa",): ("united", "states"),
    ("us",): ("united", "states"),
    ("united", "states", "of", "america"): ("united", "states"),
    ("uae",): ("united", "arab", "emirates"),
    ("cote", "divoire"): ("ivory", "coast"),
    ("cote", "d", "ivoire"): ("ivory", "coast"),
    ("ir", "iran"): ("iran",),
    ("china", "pr"): ("china",),
    ("viet", "nam"): ("vietnam",),
}

# Words that distinguish the teams of a club. Words that do so only in the name of a
# competition (`junior`: Boca Juniors is a men's team) are in COMPETITION_YOUTH.
WOMEN: Final = _words("""
    w wom women womens woman ladies lady girls female fem femenino femenina femeninas femenil
    feminino feminina feminine feminines feminin feminas femminile frauen damen dames vrouwen
    damer kvinner kvinder kvinnor donne kobiet zeny wfc nwsl wnba wsl wta wbbl wncaab wcbb lpga
    damallsvenskan toppserien
""")
YOUTH: Final = _words("""
    youth youths jugend jgd primavera juvenil juveniles juvenis
""")
RESERVE: Final = _words("""
    b ii 2 res reserve reserves reserva reservas amateure amateurs castilla
""")
THIRD: Final = _words("""
    c iii 3
""")
VIRTUAL: Final = _words("""
    srl esports esport esoccer ebasketball efootball ecricket cyber virtual simulated
""")
COMPETITION_YOUTH: Final = YOUTH | _words("""
    junior juniors junioren juniores cadet cadets
""")
COMPETITION_RESERVE: Final = _words("""
    res reserve reserves reserva reservas
""")

# Words before a `II` that is part of the club's own name.
OWN_NUMBER: Final = _words("willem pablo")

# Alternative name of a sport -> the canonical name.
SPORTS: Final = {
    "football": "soccer",
    "futbol": "soccer",
    "fussball": "soccer",
    "calcio": "soccer",
    "hockey": "icehockey",
    "nfl": "americanfootball",
}

# Sports of players: single letters are initials there, and two names are a pair.
OF_PEOPLE: Final = _words("""
    tennis tabletennis badminton squash darts snooker boxing mma golf padel beachvolleyball
""")

# Hours before and after a start within which an event of the same two sides is the same event, for
# sports in which they do not meet twice in that time. The second game of a baseball doubleheader
# starts at least two and a half hours after the first, but sources list it half an hour after it
# while its start is unknown. Rain puts off a whole day of tennis.
SAME_SIDES_H: Final = {
    "americanfootball": 3.0,
    "aussierules": 3.0,
    "baseball": 0.25,
    "basketball": 3.0,
    "boxing": 3.0,
    "cricket": 3.0,
    "handball": 3.0,
    "icehockey": 3.0,
    "lacrosse": 3.0,
    "mma": 3.0,
    "rugbyleague": 3.0,
    "rugbyunion": 3.0,
    "soccer": 3.0,
    "tennis": 12.0,
    "volleyball": 3.0,
}

# Words that a shorter name of the same side keeps: one name with such a word and one without it
# are two sides.
TELLING: Final = _words("""
    state tech north south east west northern southern eastern western central new young old real
    inter atletico city united guinea am valley international
""")

# Competitions of two different countries have no match in common.
COUNTRIES: Final = _words("""
    albania algeria andorra angola argentina armenia australia austria azerbaijan bahrain
    bangladesh belarus belgium bolivia bosnia botswana brazil bulgaria cambodia cameroon canada
    chile china colombia croatia cyprus czech denmark ecuador egypt england estonia ethiopia
    finland france georgia germany ghana greece guatemala honduras hungary iceland india indonesia
    iran iraq ireland israel italy jamaica japan jordan kazakhstan kenya kosovo kuwait latvia
    lithuania luxembourg malaysia malta mexico moldova montenegro morocco myanmar netherlands
    nicaragua nigeria norway oman pakistan panama paraguay peru philippines poland portugal qatar
    romania russia rwanda scotland senegal serbia singapore slovakia slovenia spain sudan sweden
    switzerland syria tanzania thailand tunisia turkey uganda ukraine uruguay usa uzbekistan
    venezuela vietnam wales zambia zimbabwe
""")
