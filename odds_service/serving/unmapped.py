"""ListUnmapped: the markets that no table maps, with samples."""

from collections.abc import Callable, Sequence
from typing import Final

from odds_service.serving.calls import MAX_REPLY_BYTES
from odds_service.serving.context import Context
from odds_service.serving.errors import exhausted
from odds_service.serving.selection import checked_values
from odds_service.serving.server_context import ServerContext
from odds_service.serving.stretches import Stretches
from odds_service.status import UnmappedReport
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from odds_service.wire.wire_fields import timestamp

_AROUND_BYTES: Final = 8  # tag and length of a row


async def list_unmapped(
    server: ServerContext, request: pb.ListUnmappedRequest, _: Context
) -> bytes:
    """Answer with the names of the sources that the caller may see, the commonest first.

    Raises:
        Refused: A field is malformed, or the reply would be too large.
    """
    sources = checked_values("sources", request.sources)
    sports = checked_values("sports", request.sports)
    selection = server.selection(pb.Filter())
    reports = [
        each
        for each in await server.ask(_ask, server.parts.unmapped)
        if selection.may_show(each.source)
        and (sources is None or each.source in sources)
        and (sports is None or each.sport in sports)
    ]
    reports.sort(key=lambda each: (-each.count, each.source, each.sport, each.name))
    reply = pb.ListUnmappedResponse()
    size = 0
    stretches = Stretches()
    for each in reports:
        row = reply.markets.add()
        _fill(row, each)
        size += row.ByteSize() + _AROUND_BYTES
        if size > MAX_REPLY_BYTES:
            text = f"the reply would be over {MAX_REPLY_BYTES >> 20} MiB: name sources or sports"
            raise exhausted("reply size", text)
        await stretches.pause()
    return reply.SerializeToString()


async def _ask(
    unmapped: Callable[[], Sequence[UnmappedReport]],
) -> Sequence[UnmappedReport]:
    return unmapped()


def _fill(row: pb.UnmappedMarket, report: UnmappedReport) -> None:
    row.source, row.sport, row.name = report.source, report.sport, report.name
    row.count = report.count
    row.last_seen_at.CopyFrom(timestamp(report.last_seen_at))
    for sample in report.samples:
        row.samples.add(
            event_id=sample.event_id, event_name=sample.event_name, outcomes=sample.outcomes
        )
