"""The order of epochs and of their revisions: pure functions that all stores share."""

from collections.abc import Iterable
from typing import Final

from odds_service.errors import ForeignSurplus, StorageError, StorageUnavailable
from odds_service.model.change import Commit

Epochs = list[tuple[str, int]]  # (epoch, its first revision), in order

SUPERSEDED: Final = "another process opened this database; this one must end"


def later_epochs(known: Epochs, epoch: str, durable: int) -> list[str]:
    """Return the epochs opened after one that is to go on; none of them has numbered anything.

    Such an epoch was opened by an owner that died before it could tell anybody.

    Raises:
        ForeignSurplus: the epoch is unknown, or a later one has stored revisions.
    """
    names = [name for name, _ in known]
    if epoch not in names:
        raise ForeignSurplus(f"the database does not know epoch {epoch or '(none)'}")
    later = known[names.index(epoch) + 1 :]
    for name, first in later:
        if first <= durable:
            raise ForeignSurplus(
                f"epoch {epoch} cannot go on after revision {durable}: the database went on at"
                f" revision {first} in epoch {name}"
            )
    return [name for name, _ in later]


def check_consecutive(commits: Iterable[Commit]) -> None:
    """Check that commits have no hole among them. Raises StorageError."""
    last: int | None = None
    for commit in commits:
        if last is not None and commit.first_revision != last + 1:
            raise StorageError(f"the surplus has revision {commit.first_revision} after {last}")
        last = commit.last_revision


def check_continues(durable: int, first: int) -> None:
    """Check that a revision at most continues the durable one. Raises StorageError."""
    if first > durable + 1:
        raise StorageError(
            f"the surplus begins at revision {first}, but the database ends at {durable}"
        )


def check_stored(durable: int, revision: int) -> None:
    """Check that a revision is stored already. Raises StorageUnavailable."""
    if revision > durable:
        raise StorageUnavailable(
            f"the database does not hold revision {revision} yet: it has changes up to {durable}"
        )


def held_of(known: Epochs, epoch: str, durable: int) -> range:
    """Return the revisions of an epoch that the history holds, or held."""
    for place, (name, first) in enumerate(known):
        if name == epoch:
            ends = [following for _, following in known[place + 1 :]]
            return range(first, min([durable + 1, *ends]))
    return range(0)
