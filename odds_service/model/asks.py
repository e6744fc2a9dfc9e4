"""What a source is asked for, as its settings say it: what it can show, and what it cannot."""

from collections.abc import Iterable, Mapping

from msgspec import Struct


class Form(Struct, frozen=True, kw_only=True):
    """One kind of request; market types and bookmakers asked for, None: all, or not known."""

    markets: frozenset[str] | None = None
    bookmakers: frozenset[str] | None = None


class Asks(Struct, frozen=True, kw_only=True):
    """Everything that a source is asked for under its settings.

    kind: of the provider. forms: name of a kind of request -> what it asks for; none: not known.
    listings: the parts of its offer, "" for one whose events stand in no listing; None: all, or not
    known. sports: the provider's own ids; regions: groups of bookmakers. Both only show that
    the settings differ, since what they hold cannot be told from their names.
    """

    kind: str = ""
    forms: Mapping[str, Form] = {}
    listings: frozenset[str] | None = None
    sports: frozenset[str] = frozenset()
    regions: frozenset[str] = frozenset()

    @property
    def markets(self) -> frozenset[str] | None:
        """All market types asked for; None: all, or not known."""
        return _union(form.markets for form in self.forms.values())

    @property
    def bookmakers(self) -> frozenset[str] | None:
        """All bookmakers asked for; None: all, or not known."""
        return _union(form.bookmakers for form in self.forms.values())

    def elsewhere(self, form: str) -> frozenset[str] | None:
        """Return the market types that only other forms ask for; None: not known."""
        if form not in self.forms:
            return None
        own = self.forms[form].markets
        others = [each.markets for name, each in self.forms.items() if name != form]
        if own is None or None in others:
            return None
        return frozenset().union(*(each for each in others if each is not None)) - own


class AsksChange(Struct, frozen=True):
    """How one source's asks differ from the last run's.

    before: None where they are not known; now: None where the source left the settings.
    """

    before: Asks | None
    now: Asks | None


def changed_asks(
    before: Mapping[str, Asks], now: Mapping[str, Asks], held: Iterable[str]
) -> dict[str, AsksChange]:
    """Compare the asks of two runs, by source.

    Args:
        before: what the last run asked for.
        now: what this run asks for. No source at all withdraws nothing: such a service serves what
            is stored.
        held: sources of which odds are stored.

    Returns:
        The sources that are asked for something else now, or that left the settings.
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
