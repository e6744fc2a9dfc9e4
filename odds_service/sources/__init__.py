"""Sources of odds: one module per provider, found by entry point.

Everything that a plug-in needs is exported here. These names are stable: a release that removes or
changes one is announced in the changelog one minor release ahead. The submodules carry no such
promise. docs/sources.md shows a plug-in and lists the names by use.
"""

from odds_service.decoding import JsonDecoder
from odds_service.errors import SettingsError, SourceError
from odds_service.model.asks import Asks, Form
from odds_service.model.event import EventStatus
from odds_service.model.market import (
    NO_LINE,
    MarketKey,
    MarketStatus,
    ObservedMarket,
    Outcome,
    observed_market,
)
from odds_service.model.observation import (
    ANY,
    Completeness,
    Observation,
    ObservedBookmaker,
    ObservedEvent,
    Scope,
)
from odds_service.model.price import (
    BadPrice,
    american_price,
    canonical_line,
    decimal_price,
    fractional_price,
)
from odds_service.sources.access import Access, AccessPolicy, SharesAccess
from odds_service.sources.base import (
    Offer,
    Pace,
    Pull,
    Source,
    TellsAsks,
    Tier,
    distinct_outcomes,
    steady_tier,
)
from odds_service.sources.http import HttpFetcher, HttpSettings, open_http
from odds_service.sources.http_answer import Answer, decode_json, require_json, require_ok
from odds_service.sources.naming import key_text, sportradar_id
from odds_service.sources.pace import DEFAULT_TIERS, TierSettings, tiers_of
from odds_service.sources.recorded import Look, ReadsRecordings, RecordedReader
from odds_service.sources.settings import read_settings

__all__ = [
    "ANY",
    "DEFAULT_TIERS",
    "NO_LINE",
    "Access",
    "AccessPolicy",
    "Answer",
    "Asks",
    "BadPrice",
    "Completeness",
    "EventStatus",
    "Form",
    "HttpFetcher",
    "HttpSettings",
    "JsonDecoder",
    "Look",
    "MarketKey",
    "MarketStatus",
    "Observation",
    "ObservedBookmaker",
    "ObservedEvent",
    "ObservedMarket",
    "Offer",
    "Outcome",
    "Pace",
    "Pull",
    "ReadsRecordings",
    "RecordedReader",
    "Scope",
    "SettingsError",
    "SharesAccess",
    "Source",
    "SourceError",
    "TellsAsks",
    "Tier",
    "TierSettings",
    "american_price",
    "canonical_line",
    "decimal_price",
    "decode_json",
    "distinct_outcomes",
    "fractional_price",
    "key_text",
    "observed_market",
    "open_http",
    "read_settings",
    "require_json",
    "require_ok",
    "sportradar_id",
    "steady_tier",
    "tiers_of",
]
