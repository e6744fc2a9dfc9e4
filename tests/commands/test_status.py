"""`odds-service status`: the state of the service."""

from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.commands.books import book_of, messages
from tests.support.command_line import ran
from tests.support.odds_builders import serving


async def test_status_is_a_table_or_the_message() -> None:
    async with serving(book_of()) as server:
        table = await ran("status", "--server", server.address)
        message = await ran("status", "--server", server.address, "--json")
    assert "head 8" in table.stdout
    (reply,) = messages(message.stdout, pb.GetStatusResponse)
    assert isinstance(reply, pb.GetStatusResponse)
    assert reply.head_revision == 8
