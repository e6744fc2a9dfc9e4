"""Asks: everything that the settings request from a source, and so the limit of its odds."""

from collections.abc import Iterable, Mapping

from msgspec import Struct


class Form(Struct, frozen=True, kw_only=True):
    """The market types and bookmakers that one kind of request asks for; None: all, or unknown."""

    markets: frozenset[str] | None = None
    bookmakers: frozenset[str] | None = None


class Asks(Struct, frozen=True, kw_only=True):
    """Everything that a source is asked for under its settings.

    Attributes:
        kind: The kind of provider.
        forms: Name of a kind of request -> its asks; empty if they are unknown.
        listings: The parts of the provider's offer, "" for events outside any listing; None: all,
            or unknown.
        sports: The provider's own ids of sports.
        regions: Groups of bookmakers. Sports and regions only show that settings differ, since
            their names do not reveal their content.
    """

    kind: str = ""
    forms: Mapping[str, Form] = {}
    listings: frozenset[str] | None = None
    sports: frozenset[str] = frozenset()
    regions: frozenset[str] = frozenset()

    @property
    def markets(self) -> frozenset[str] | None:
        """All market types asked for; None: all, or unknown."""
        return _union(form.markets for form in self.forms.values())

    @property
    def bookmakers(self) -> frozenset[str] | None:
        """All bookmakers asked for; None: all, or unknown."""
        return _union(form.bookmakers for form in self.forms.values())

    def elsewhere(self, form: str) -> frozenset[str] | None:
        """Return the market types requested only by forms other than this one; None: unknown."""
        if form not in self.forms:
            return None
        own = self.forms[form].markets
        others = [each.markets for name, each in self.forms.items() if name != form]
        if own is None or None in others:
            return None
        return frozenset().union(*(each for each in others if each is not None)) - own


class AsksChange(Struct, frozen=True):
    """The asks of one source in the last run and in this one.

    Attributes:
        before: The asks of the last run; None if unknown.
        now: The asks of this run; None if the source has left the settings.
    """

    before: Asks | None
    now: Asks | None


def changed_asks(
    before: Mapping[str, Asks], now: Mapping[str, Asks], held: Iterable[str]
) -> dict[str, AsksChange]:
    """Compare the asks of two runs, by source.

    Args:
        before: The asks of the last run.
        now: The asks of this run. If there are none, nothing is withdrawn: such a service only
            serves stored odds.
        held: The sources with stored odds.

    Returns:
        The sources whose asks have changed or that have left the settings.
    """
    if not now:
        return {}
    return {
        name: AsksChange(before.get(name), now.get(name))
        for name in sorted({*before, *now, *held})
        if name not in now or before.get(name) != now[name]
    }


def _union(parts: Iterable[frozenset[str] | None]) -> frozenset[str] | None:
    known: frozenset[str] = frozenset()
    some = False
    for part in parts:
        if part is None:
            return None
        known |= part
        some = True
    return known if some else None
