"""A source's address, parsed once for all requests."""

import base64
from collections.abc import Mapping
from urllib.parse import quote, unquote, urlencode, urlsplit

from msgspec import Struct

from odds_service.errors import SettingsError


class Site(Struct, frozen=True):
    """A validated address; each request's URL is `base` + path + query."""

    base: str
    headers: tuple[tuple[bytes, bytes], ...]

    def url(self, path: str, params: Mapping[str, str]) -> str:
        """Return the URL of one request."""
        url = self.base + quote(path)
        return f"{url}?{urlencode(params)}" if params else url


def site_of(base_url: str, headers: Mapping[str, str]) -> Site:
    """Parse an address, and encode the headers of its requests.

    Raises:
        SettingsError: the address or a header is invalid.
    """
    try:
        parts = urlsplit(base_url)
        port = parts.port
        host = (parts.hostname or "").encode(
            "idna" if not (parts.hostname or "").isascii() else "ascii"
        )
    except (ValueError, UnicodeError) as error:
        raise SettingsError(f"url {base_url!r}: {error}") from None
    if parts.scheme not in {"http", "https"} or not host or parts.query or parts.fragment:
        raise SettingsError("url: not of the form https://host[:port][/path]")
    authority = host if b":" not in host else b"[" + host + b"]"
    if port is not None:
        authority += b":%d" % port
    sent = {name.lower(): text for name, text in headers.items()}
    if parts.username is not None:
        name_and_password = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        sent["authorization"] = f"Basic {base64.b64encode(name_and_password.encode()).decode()}"
    try:
        pairs = tuple((name.encode("ascii"), text.encode("latin-1")) for name, text in sent.items())
    except UnicodeError:
        raise SettingsError(
            "headers: a name or value has characters that HTTP does not allow"
        ) from None
    return Site(f"{parts.scheme}://{authority.decode()}{parts.path.rstrip('/')}", pairs)
