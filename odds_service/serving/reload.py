"""Reload: the settings are read again on a caller's request."""

from odds_service.serving.context import Context
from odds_service.serving.errors import StatusCode, refused
from odds_service.serving.server_context import ServerContext
from odds_service.wire.encode import cursor_message
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb


async def reload(server: ServerContext, _request: pb.ReloadRequest, _context: Context) -> bytes:
    """Read the settings again, and answer with what was done.

    Raises:
        Refused: Nothing can be read again.
        SettingsError: The settings are wrong; nothing has changed.
    """
    work = server.parts.reload
    if work is None:
        raise refused(StatusCode.UNIMPLEMENTED, "there are no settings to read", "NO_SETTINGS")
    done = await server.ask(work)
    return pb.ReloadResponse(
        sources_added=done.added,
        sources_removed=done.removed,
        sources_changed=done.changed,
        sources_unchanged=done.unchanged,
        applied=done.applied,
        needs_restart=done.needs_restart,
        withdrawn=done.withdrawn,
        cursor=cursor_message(done.cursor),
    ).SerializeToString()
