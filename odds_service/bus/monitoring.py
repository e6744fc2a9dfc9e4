"""The monitoring page of a NATS server, which shows settings that no connection can see."""

import http.client
import urllib.error
import urllib.request
from typing import Any, Final

from odds_service.bus.log import Unavailable
from odds_service.decoding import decode_as

ANSWER_S: Final = 5.0
MOST_BYTES: Final = 2**20
# The proxies of the environment are for sites, not for servers of one's own.
_OPENER: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def syncs_always(url: str) -> tuple[str, bool]:
    """Return the name of a server, and whether it flushes each message before it acknowledges it.

    It blocks for ANSWER_S at most.

    Args:
        url: The address of its monitoring, such as `http://127.0.0.1:8222`.

    Raises:
        Unavailable: No answer, or one that makes no sense.
    """
    if not url.startswith(("http://", "https://")):
        raise Unavailable("not like http://127.0.0.1:8222")
    try:
        with _OPENER.open(f"{url.rstrip('/')}/varz", timeout=ANSWER_S) as answer:
            body = answer.read(MOST_BYTES)
        told = decode_as(dict[str, Any], body)
        store = (told.get("jetstream") or {}).get("config")
    except urllib.error.URLError as error:
        raise Unavailable(f"no answer: {error.reason}") from None
    except (OSError, http.client.HTTPException, ValueError, AttributeError) as error:
        raise Unavailable(f"no answer: {error}") from None
    if not store:
        raise Unavailable("JetStream is not enabled on this server")
    return str(told.get("server_name") or url), bool(store.get("sync_always"))
