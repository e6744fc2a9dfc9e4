"""The stored record of each source's asks in the last run; asyncio-flavoured."""

from collections.abc import Mapping
from typing import Final

import msgspec
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from odds_service.model.asks import Asks
from odds_service.storage.database import Database
from odds_service.storage.log.writing import aio_own_state
from odds_service.storage.schema import source_asks

_ENCODER: Final = msgspec.json.Encoder(order="deterministic")
_DECODER: Final = msgspec.json.Decoder(Asks)


async def aio_asks(connection: AsyncConnection) -> dict[str, Asks]:
    """Return the asks of the last run, by source."""
    found = await connection.execute(select(source_asks))
    return {row.source: _DECODER.decode(row.asks) for row in found}


async def aio_put_asks(database: Database, epoch: str, asks: Mapping[str, Asks]) -> None:
    """Replace the stored asks. Raises Superseded."""
    async with database.writing() as connection:
        await aio_own_state(database, connection, epoch)
        await connection.execute(delete(source_asks))
        rows = [
            {"source": name, "asks": _ENCODER.encode(each).decode()}
            for name, each in sorted(asks.items())
        ]
        if rows:
            await connection.execute(source_asks.insert(), rows)
