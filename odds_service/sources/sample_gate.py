"""The gate's check of samples of unmapped markets, which are only texts for people."""

from collections import Counter
from collections.abc import Mapping
from itertools import islice
from typing import Final

from odds_service.model.observation import UnmappedSample
from odds_service.model.text import MOST_CHARS, is_plain, told
from odds_service.sources.fields import MOST_NAMES, PROBLEM_CHARS, Wrong
from odds_service.sources.left_out import count_left_out

MOST_EVENT_CHARS: Final = 200
MOST_OUTCOMES: Final = 10
MOST_OUTCOME_CHARS: Final = 60


def samples(given: object, problems: Counter[str]) -> dict[str, UnmappedSample]:
    """Return the valid samples by name, cut to their bounds, with texts that can be shown.

    Args:
        given: the samples as the source gave them.
        problems: incremented by `bad_sample` for every sample that is left out.
    """
    kept: dict[str, UnmappedSample] = {}
    try:
        if not isinstance(given, Mapping):
            raise Wrong("samples are not a mapping", misuse=True)
        items = list(islice(given.items(), MOST_NAMES))
    except Exception as error:  # a source's values may run its own code
        count_left_out(problems, "bad_sample", error)
        return kept
    for name, each in items:
        try:
            kept[told(name, PROBLEM_CHARS)] = _sample(each)
        except Exception as error:
            count_left_out(problems, "bad_sample", error)
    return kept


def _sample(given: object) -> UnmappedSample:
    if type(given) is not UnmappedSample or type(given.outcomes) is not tuple:
        raise Wrong("not an UnmappedSample, or its outcomes are not a tuple", misuse=True)
    if type(given.sport) is not str or len(given.sport) > MOST_CHARS or not is_plain(given.sport):
        raise Wrong("its sport is not a key")
    return UnmappedSample(
        sport=told(given.sport, MOST_CHARS),
        event_id=told(given.event_id, MOST_CHARS),
        event_name=told(given.event_name, MOST_EVENT_CHARS),
        outcomes=tuple(told(each, MOST_OUTCOME_CHARS) for each in given.outcomes[:MOST_OUTCOMES]),
    )
