"""`odds-service sources`: the share of recorded bodies that the readers understand."""

import enum
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from msgspec import Struct

from odds_service.commands.options import plain_output, takes
from odds_service.commands.output import Output
from odds_service.errors import SourceError
from odds_service.model.observation import ObservedEvent
from odds_service.model.text import counted
from odds_service.sources.markets.agreement import Disagreement, disagreements
from odds_service.sources.markets.coverage import Coverage
from odds_service.sources.markets.table import table
from odds_service.sources.recognise import READERS, recognise


class Action(enum.Enum):
    """An action on the files."""

    CHECK = "check"


class _ReadFile(Struct, frozen=True):
    """A readable file."""

    file: Path
    provider: str
    event: ObservedEvent
    coverage: Coverage
    problems: Counter[str]


class _UnreadFile(Struct, frozen=True):
    """An unreadable file."""

    file: Path
    kind: str
    reason: str


@takes(out=plain_output)
def sources(
    *,
    action: Annotated[Action, typer.Argument(help="check: report the share that is understood.")],
    files: Annotated[
        list[Path], typer.Argument(help="Recorded bodies of SportyBet, BetPawa or Bet9ja.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    out: Output,
) -> None:
    """Report how much of recorded bodies is understood, and contradictions in them.

    For each file, print the share of its markets that the market table knows, the names of the
    unknown ones, and the parts that could not be read. For several files of the same match, print
    the contradictions between them. Exit with code 1 if a file cannot be read.
    """
    del action  # `check` is the only one
    results = [_read(file) for file in files]
    wrong = _disagreements(one for one in results if isinstance(one, _ReadFile))
    if as_json:
        report = {"files": [_json(one) for one in results], "disagreements": wrong}
        out.raw_json(msgspec.json.encode(report).decode())
    else:
        _print(results, wrong, out)
    if any(isinstance(one, _UnreadFile) for one in results):
        raise typer.Exit(1)


def _read(file: Path) -> _ReadFile | _UnreadFile:
    problems: Counter[str] = Counter()
    coverage = Coverage()
    try:
        body = file.read_bytes()
        provider = recognise(body)
        event = READERS[provider](body, problems, coverage)
    except OSError as error:
        return _UnreadFile(file, "unreadable", error.strerror or str(error))
    except SourceError as error:
        return _UnreadFile(file, error.kind, str(error))
    return _ReadFile(file, provider, event, coverage, problems)


def _disagreements(read: Iterable[_ReadFile]) -> list[Disagreement]:
    """Compare files of the same match, which are found by shared ids."""
    matches: dict[Any, list[_ReadFile]] = defaultdict(list)
    for one in read:
        ids = tuple(sorted(one.event.shared_ids.items()))
        matches[ids or one.file].append(one)
    found = []
    for group in matches.values():
        shown = {one.provider: one.event.bookmakers[0].markets for one in group}
        found += disagreements(table(), group[0].event.sport, shown)
    return found


def _json(one: _ReadFile | _UnreadFile) -> dict[str, Any]:
    if isinstance(one, _UnreadFile):
        return {"file": str(one.file), "error": one.kind, "reason": one.reason}
    return {
        "file": str(one.file),
        "provider": one.provider,
        "event": one.event.source_event_id,
        "sport": one.event.sport,
        "markets": one.coverage.markets,
        "mapped": one.coverage.mapped,
        "share": round(one.coverage.share, 4),
        "canonical_markets": len(one.event.bookmakers[0].markets),
        "unmapped": dict(one.coverage.unmapped.most_common()),
        "problems": dict(one.problems.most_common()),
    }


def _print(results: list[_ReadFile | _UnreadFile], wrong: list[Disagreement], out: Output) -> None:
    for one in results:
        if isinstance(one, _UnreadFile):
            out.sentence(f"{one.file}: {one.kind}: {one.reason}", style="red")
            continue
        event, coverage = one.event, one.coverage
        share = (
            f"{coverage.mapped:,} of {counted(coverage.markets, 'market')} mapped"
            f" ({coverage.share:.1%})"
        )
        if not coverage.markets:
            share = "no markets"
        canonical = f"{len(event.bookmakers[0].markets)} canonical"
        name = f"{event.home} – {event.away}"
        out.sentence(f"{one.file}: {one.provider}, {name}: {share}, {canonical}")
        for market, times in coverage.unmapped.most_common():
            out.sentence(f"  unmapped {times} × {market}")
        for problem, times in one.problems.most_common():
            out.sentence(f"  problem {times} × {problem}", style="yellow")
    for item in wrong:
        parts = filter(None, (item.key.market, item.key.line, item.key.participant))
        place = f"{' '.join(parts)}, {', '.join(item.bookmakers)}"
        out.sentence(f"{item.reason}: {place}: {item.text}", style="yellow")
    out.line(counted(len(wrong), "disagreement"))
