"""The retry of a dead letter: stores its change in place of its placeholder."""

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from odds_service.storage.database import Database, savepoint
from odds_service.storage.letters.letters import read_letter
from odds_service.storage.log.writing import Stretch, aio_insert, aio_locked_state
from odds_service.storage.rows.history import UNSTORED, change_from
from odds_service.storage.schema import dead_letters, epochs, odds_history


async def aio_retry(database: Database, letter_id: int) -> str:
    """See store.Store.retry_dead_letter."""
    async with database.writing() as connection:
        await aio_locked_state(database, connection)
        mine = dead_letters.c.letter_id == letter_id
        row = (await connection.execute(select(dead_letters).where(mine))).one_or_none()
        if row is None:
            return "there is no such letter"
        letter = read_letter(row.letter)
        if letter is None:
            if row.letter:
                return "it is damaged, or from a later version: inspect or drop it"
            return "it holds text that no database accepts"
        if row.epoch != await aio_epoch_of(connection, row.revision):
            return "its revision now belongs to another change: inspect or drop it"
        snapshot, event_id = letter.snapshot, letter.row.event_id
        stretch = Stretch(
            [change_from(letter.row)],
            {} if snapshot is None else {snapshot.snapshot_id: snapshot.snapshot()},
            {event_id: letter.carried},
        )
        try:
            async with savepoint(connection):
                place = delete(odds_history).where(
                    odds_history.c.revision == row.revision, odds_history.c.kind == UNSTORED
                )
                if not (await connection.execute(place)).rowcount:
                    return "its place in the history no longer exists"
                await aio_insert(database, connection, stretch, again=True)
        except Exception as error:
            reason = database.refusal(error)
            if reason is None:
                raise
            tried = {"reason": reason, "attempts": row.attempts + 1}
            await connection.execute(update(dead_letters).where(mine).values(**tried))
            return reason
        await connection.execute(delete(dead_letters).where(mine))
        return ""


async def aio_epoch_of(connection: AsyncConnection, revision: int) -> str | None:
    """Return the epoch that numbered a stored revision."""
    epoch: str | None = await connection.scalar(
        select(epochs.c.epoch)
        .where(epochs.c.first_revision <= revision)
        .order_by(epochs.c.place.desc())
        .limit(1)
    )
    return epoch
