"""ListRuns: the fetches of the sources, page by page, from the database."""

from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from odds_service.model.observation import Completeness
from odds_service.model.scrape_run import ScrapeRun
from odds_service.model.text import is_text
from odds_service.serving.calls import MAX_REPLY_BYTES
from odds_service.serving.context import Context
from odds_service.serving.errors import StatusCode, bad_request, refused
from odds_service.serving.page_tokens import foreign, read, written
from odds_service.serving.parts import RunsReader
from odds_service.serving.selection import checked_time, checked_values
from odds_service.serving.server_context import ServerContext
from odds_service.serving.stretches import Stretches
from odds_service.store import RunPlace, RunsFilter
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from odds_service.wire.wire_fields import timestamp

PAGE_RUNS: Final = 100
MAX_PAGE_RUNS: Final = 1_000

_AROUND_BYTES: Final = 8  # tag and length of a run
_TOKEN_BYTES: Final = 4_096  # room for next_page_token
_OUTCOMES: Final = {
    Completeness.COMPLETE.value: pb.RUN_OUTCOME_COMPLETE,
    Completeness.PARTIAL.value: pb.RUN_OUTCOME_PARTIAL,
    Completeness.FAILED.value: pb.RUN_OUTCOME_FAILED,
}


class _PageToken(msgspec.Struct, array_like=True, frozen=True):
    """The place of the last run of a page."""

    started_at: datetime
    source: str
    listing: str


async def list_runs(server: ServerContext, request: pb.ListRunsRequest, _: Context) -> bytes:
    """Answer with a page of the runs of the sources that the caller may see, the newest first.

    Raises:
        Refused: A field is malformed, or nothing is stored.
    """
    store: object = server.parts.store
    if not isinstance(store, RunsReader):
        raise refused(StatusCode.UNIMPLEMENTED, "nothing is stored here", "NO_STORE")
    only = _filter(server, request)
    size = min(request.page_size or PAGE_RUNS, MAX_PAGE_RUNS)
    before = _place(request.page_token)
    async with server.replays:
        page = await server.ask(store.runs, only, before, size)
    reply = pb.ListRunsResponse()
    following, left_bytes = page.next, MAX_REPLY_BYTES - _TOKEN_BYTES
    last: RunPlace | None = None
    stretches = Stretches()
    for run in page.runs:
        message = _message(run)
        left_bytes -= message.ByteSize() + _AROUND_BYTES
        if left_bytes < 0 and last is not None:
            following = last
            break
        reply.runs.append(message)
        last = run.started_at, run.source, run.listing
        await stretches.pause()
    if following is not None:
        reply.next_page_token = written(_PageToken(*following))
    return reply.SerializeToString()


def _filter(server: ServerContext, request: pb.ListRunsRequest) -> RunsFilter:
    checked_values("sources", request.sources)  # by its own name, not the filter's
    start = checked_time("from_time", request.from_time) if request.HasField("from_time") else None
    end = checked_time("to_time", request.to_time) if request.HasField("to_time") else None
    if start is not None and end is not None and start > end:
        raise bad_request("to_time", "is before from_time")
    chosen = server.selection(pb.Filter(sources=request.sources)).sources
    return RunsFilter(sources=chosen or frozenset(), start=start, end=end)


def _place(text: str) -> RunPlace | None:
    token = read(text, _PageToken)
    if token is None:
        return None
    if token.started_at.tzinfo is None or not is_text(token.source, token.listing):
        raise foreign()
    try:
        return token.started_at.astimezone(UTC), token.source, token.listing
    except OverflowError:
        raise foreign() from None


def _message(run: ScrapeRun) -> pb.Run:
    message = pb.Run(
        source=run.source,
        listing=run.listing,
        started_at=timestamp(run.started_at),
        outcome=_OUTCOMES.get(run.outcome, pb.RUN_OUTCOME_UNSPECIFIED),
        reason=run.reason,
        events=run.events,
        markets=run.markets,
        changes=run.changes,
        problems=run.problems,
    )
    took = run.finished_at - run.started_at
    if took >= timedelta():
        message.duration.FromTimedelta(took)
    return message
