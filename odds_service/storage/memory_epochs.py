"""Epochs of a store in memory; the twin of storage.log.epochs and storage.letters.spill."""

from collections.abc import Sequence
from datetime import datetime

from msgspec.structs import replace

from odds_service.model.change import Commit
from odds_service.storage.epoch_order import held_of, later_epochs
from odds_service.storage.memory import Memory
from odds_service.store import Opening


def open_epoch(memory: Memory, epoch: str, opening: Opening) -> None:
    """Open an epoch after the durable revision, or move it there. Raises StorageError."""
    opening.check(imported=memory.imported, last_detected_at=memory.detected_at)
    memory.imported = opening.recorded_from is not None
    others = [opened for opened in memory.epochs if opened[0] != epoch]
    memory.epochs = [*others, (epoch, memory.durable_revision + 1)]


def append(memory: Memory, batches: Sequence[Commit], epoch: str, now: datetime) -> int:
    """Append commits after the durable revision; return the number of refused changes."""
    refused = 0
    for batch in batches:
        changes = [change for change in batch.changes if change.revision > memory.durable_revision]
        if not changes:
            continue
        if changes[0].revision != memory.durable_revision + 1:
            raise AssertionError(
                f"revision {changes[0].revision} follows {memory.durable_revision}"
            )
        refused += memory.append(replace(batch, changes=changes), epoch, now)
    return refused


def extend(memory: Memory, epoch: str, upto: int) -> None:
    """Move the beginnings of later, empty epochs, so that an earlier one can go on."""
    later = later_epochs(memory.epochs, epoch, memory.durable_revision)
    memory.epochs = [(name, upto + 1 if name in later else first) for name, first in memory.epochs]


def replay(memory: Memory, now: datetime, own_epoch: str = "") -> tuple[int, int]:
    """Append the spill where it fits; return the numbers of appended and of misfit changes."""
    replayed = misfits = 0
    spilled, memory.spilled = memory.spilled, []
    known = [opened for opened in memory.epochs if opened[0] != own_epoch]
    last_epoch = known[-1][0] if known else None
    for epoch, batches in spilled:
        changes = [change for batch in batches for change in batch.changes]
        if epoch == last_epoch and changes[0].revision <= memory.durable_revision + 1:
            if changes[-1].revision > memory.durable_revision:
                extend(memory, epoch, changes[-1].revision)
            append(memory, batches, epoch, now)
            replayed += len(changes)
            continue
        held = held_of(known, epoch, memory.durable_revision)
        for change in changes:
            if change.revision not in held:
                reason = f"spilled at a stop; the log went on without it (epoch {epoch})"
                memory.keep(change, epoch, reason, now)
                misfits += 1
    return replayed, misfits
