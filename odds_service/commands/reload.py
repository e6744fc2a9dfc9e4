"""`odds-service reload`: make the service read its settings again."""

from typing import Final

from odds_service.client import Address, connect, reload_request
from odds_service.commands.options import AsJson, connection, plain_output, takes
from odds_service.commands.output import Output
from odds_service.model.text import counted

CALL_S: Final = 120.0  # new sources have to open, and odds to be withdrawn


@takes(address=connection, out=plain_output)
def reload(*, as_json: AsJson = False, address: Address, out: Output) -> None:
    """Make the service read its settings again, and print what it did.

    When the settings are wrong, nothing changes, and the exit code is 1.
    """
    with connect(address) as stub:
        done = stub.Reload(reload_request(), timeout=CALL_S)
    if as_json:
        out.json(done)
        return
    for word, names in (
        ("source added", done.sources_added),
        ("source removed", done.sources_removed),
        ("source changed", done.sources_changed),
        ("source unchanged", done.sources_unchanged),
        ("applied", done.applied),
        ("needs a restart", done.needs_restart),
    ):
        for name in names:
            out.line(f"{word}: {name}")
    withdrew = counted(done.withdrawn, "change")
    out.sentence(f"{withdrew} withdrew odds that are no longer asked for")
