"""GetHistory and GetClosingOdds by the proto: bounds, refusals, pages."""

from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.contract.calling import eventful, everything, history, refused
from tests.support.odds_builders import EPOCH, connected, serving


async def test_the_floor_is_the_first_change_that_is_kept() -> None:
    book = eventful()
    book.stored_from = 20
    async with serving(book) as server:
        with connected(server.address) as client:
            start = pb.Cursor(epoch=EPOCH, revision=3)
            found = await refused(client, "GetHistory", pb.GetHistoryRequest(from_cursor=start))
            assert (found.code, found.reason) == ("OUT_OF_RANGE", "NOT_KEPT")
            floor = int(found.metadata["floor"])
            start.revision = floor - 1
            assert (await history(client, from_cursor=start))[0].revision == floor
            assert (await history(client))[0].revision == floor
            start.revision -= 1
            found = await refused(client, "GetHistory", pb.GetHistoryRequest(from_cursor=start))
            assert found.code == "OUT_OF_RANGE"


async def test_cursors_of_another_log_or_ahead_of_this_server_are_told_apart() -> None:
    book = eventful()
    async with serving(book) as server:
        with connected(server.address) as client:
            another = pb.Cursor(epoch="another", revision=3)
            ahead = pb.Cursor(epoch=EPOCH, revision=10**6)
            for request in (
                pb.GetHistoryRequest(from_cursor=another),
                pb.GetHistoryRequest(to_cursor=another),
            ):
                found = await refused(client, "GetHistory", request)
                assert (found.code, found.reason) == ("FAILED_PRECONDITION", "EPOCH_CHANGED")
            for request in (
                pb.GetHistoryRequest(from_cursor=ahead),
                pb.GetHistoryRequest(to_cursor=ahead),
            ):
                found = await refused(client, "GetHistory", request)
                assert (found.code, found.reason) == ("UNAVAILABLE", "AHEAD_OF_SERVER")
                assert found.metadata["head"] == str(book.feed.head_revision)


async def test_a_page_tells_how_far_it_is_and_a_reader_goes_on_from_there() -> None:
    book = eventful()
    async with serving(book) as server:
        with connected(server.address) as client:
            whole = await history(client)
            assert [change.revision for change in whole] == list(
                range(1, book.feed.durable_revision + 1)
            )
            pages = await everything(client, "GetHistory", pb.GetHistoryRequest())
            for page in pages:
                assert page.ByteSize() <= 2**20
                assert page.durable_revision == book.feed.durable_revision
                rest = await history(client, from_cursor=page.cursor)
                assert rest == whole[page.cursor.revision :]
            nothing = pb.GetHistoryRequest(filter=pb.Filter(event_ids=["nobody"], sources=["x"]))
            (page,) = await everything(client, "GetHistory", nothing)
            assert (len(page.changes), page.cursor.revision) == (0, book.feed.durable_revision)
