"""History as columns: pages whose pieces together are an Arrow stream or a Parquet file."""

import asyncio
from collections.abc import Iterator
from functools import partial
from typing import Any, Final, Protocol

from odds_service.columns.arrow import arrow_schema, pyarrow
from odds_service.columns.files import ParquetWriter
from odds_service.columns.reading import ColumnReader, Page
from odds_service.columns.schema import PRICES
from odds_service.errors import SettingsError
from odds_service.filters.selection import Selection
from odds_service.serving.context import StreamingContext
from odds_service.serving.errors import StatusCode, bad_request, refused
from odds_service.serving.lagging import check_moved, patiently
from odds_service.serving.parts import StoredRows
from odds_service.serving.reading import MESSAGE_BYTES
from odds_service.serving.server_context import ServerContext
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb

PAGE_ROWS: Final = 4_000  # rows of the log that a reader holds at once
GROUP_ROWS: Final = 20_000  # rows of a group of a Parquet file, which a stream holds in memory
_PIECE_BYTES: Final = MESSAGE_BYTES - 65_536  # leaves room for the schema and the page's own fields

# A piece with the last revision that it and those before it hold whole.
Piece = tuple[bytes, int]


class _Writer(Protocol):
    def pieces(self, batch: Any, after: int, upto: int) -> Iterator[Piece]: ...
    def end(self, upto: int) -> Iterator[Piece]: ...


async def send_columns(
    server: ServerContext,
    store: object,
    form: pb.HistoryForm.ValueType,
    selection: Selection,
    span: tuple[int, int],
    context: StreamingContext,
) -> None:
    """Stream the rows of a span, holding one page at a time.

    Args:
        server: The server.
        store: The stored log.
        form: The form of the pieces.
        selection: The rows to choose.
        span: (after, upto).
        context: The call.

    Raises:
        Refused: This server makes no columns, or the form is unknown.
    """
    if not isinstance(store, StoredRows):
        raise refused(StatusCode.UNIMPLEMENTED, "no columns are made here", "NO_COLUMNS")
    reached, upto = span
    try:
        reader = ColumnReader(store, server.ask, asyncio.to_thread, reached, selection, PAGE_ROWS)
        writer = _writer(form)
    except SettingsError as error:
        raise refused(StatusCode.UNIMPLEMENTED, str(error), "NO_COLUMNS") from None
    while reached < upto:
        page = await patiently(server, partial(_moved_on, reader, upto))
        revisions = await asyncio.to_thread(_distinct, page.batch["revision"])
        server.usage.changes += revisions
        pieces = await asyncio.to_thread(list, writer.pieces(page.batch, page.after, page.upto))
        for piece in pieces:
            await _send(server, context, piece)
        reached = page.upto
    for piece in await asyncio.to_thread(list, writer.end(reached)):
        await _send(server, context, piece)


async def _moved_on(reader: ColumnReader, upto: int) -> Page:
    """Read the next page. Raises Behind."""
    page = await reader.next_page(upto)
    check_moved(page.after, page.upto)
    return page


async def _send(server: ServerContext, context: StreamingContext, piece: Piece) -> None:
    columns, revision = piece
    page = pb.HistoryPage(
        cursor=server.cursor(revision),
        durable_revision=server.parts.feed.durable_revision,
        columns=columns,
    )
    await context.write(page.SerializeToString())


def _distinct(revisions: Any) -> int:
    found: int = len(revisions.unique())
    return found


def _writer(form: pb.HistoryForm.ValueType) -> _Writer:
    if form == pb.HISTORY_FORM_ARROW:
        return _ArrowPieces()
    if form == pb.HISTORY_FORM_PARQUET:
        return _ParquetPieces()
    raise bad_request("form", "is not known here")


class _Sink:
    """A file that is taken away as it is written."""

    closed = False

    def __init__(self) -> None:
        self._written: list[bytes] = []

    def write(self, data: Any) -> int:
        self._written.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Do nothing: nothing waits here."""

    def close(self) -> None:
        """Do nothing: what was written can still be taken."""

    def take(self) -> bytes:
        taken = b"".join(self._written)
        self._written.clear()
        return taken


class _ArrowPieces:
    """Batches as messages of one stream, each with a batch of its own."""

    def __init__(self) -> None:
        pa = pyarrow()
        self._sink = _Sink()
        options = pa.ipc.IpcWriteOptions(compression="zstd")
        file = pa.PythonFile(self._sink, mode="w")
        self._stream = pa.ipc.new_stream(file, arrow_schema(PRICES), options=options)

    def pieces(self, batch: Any, after: int, upto: int) -> Iterator[Piece]:
        if not batch.num_rows:
            yield self._sink.take(), upto
        place = 0
        while place < batch.num_rows:
            part = batch.slice(place)
            while part.nbytes > _PIECE_BYTES and part.num_rows > 1:
                part = part.slice(0, part.num_rows // 2)
            place += part.num_rows
            self._stream.write_batch(part)
            if place == batch.num_rows:
                yield self._sink.take(), upto
            else:  # the rows of a revision may go on in the next piece
                whole = max(after, batch["revision"][place].as_py() - 1)
                yield self._sink.take(), whole

    def end(self, upto: int) -> Iterator[Piece]:
        self._stream.close()
        yield self._sink.take(), upto


class _ParquetPieces:
    """Batches as groups of a Parquet file, cut into pieces of bytes."""

    def __init__(self) -> None:
        self._sink = _Sink()
        file = pyarrow().PythonFile(self._sink, mode="w")
        self._parquet = ParquetWriter(file, PRICES, GROUP_ROWS)

    def pieces(self, batch: Any, after: int, upto: int) -> Iterator[Piece]:
        self._parquet.write(batch)
        yield from self._taken(upto)

    def end(self, upto: int) -> Iterator[Piece]:
        self._parquet.finish({})
        yield from self._taken(upto)

    def _taken(self, upto: int) -> Iterator[Piece]:
        written = self._sink.take()
        for start in range(0, max(len(written), 1), _PIECE_BYTES):
            yield written[start : start + _PIECE_BYTES], upto
