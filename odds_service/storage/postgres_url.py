"""PostgreSQL's URL: libpq's parameters, several hosts; what cannot work is refused in one line."""

import os
import re
import ssl
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from sqlalchemy import URL

from odds_service.errors import StorageError

CONNECT_S: Final = 10.0  # for each host, unless connect_timeout says otherwise
MOST_CONNECT_S: Final = 60.0

_TLS: Final = frozenset({
    "sslmode", "sslrootcert", "sslcert", "sslkey", "sslpassword", "sslcrl", "sslnegotiation",
    "ssl_min_protocol_version", "ssl_max_protocol_version",
})  # fmt: skip
_FILES: Final = ("sslrootcert", "sslcert", "sslkey", "sslcrl", "passfile")
_DRIVERS: Final = frozenset({"passfile", "krbsrvname", "gsslib"})
_OURS: Final = frozenset({
    "host", "port", "user", "password", "dbname", "connect_timeout", "target_session_attrs",
    "application_name", "options",
})  # fmt: skip
_KNOWN: Final = _TLS | _DRIVERS | _OURS
_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_TARGETS: Final = ("any", "read-write", "primary")
_KEEPALIVE: Final = "leave it out: a dead connection is always noticed within 20 s"
_INSTEAD: Final = {
    "ssl": "write sslmode=require or sslmode=verify-full",
    "channel_binding": "the driver has none; use sslmode=verify-full with sslrootcert",
    "gssencmode": "the driver has none; use sslmode=verify-full with sslrootcert",
    "requiressl": "write sslmode=require",
    "requirepeer": "use sslmode=verify-full with sslrootcert",
    "require_auth": "use sslmode=verify-full with sslrootcert",
    "service": "write host, port, user and database in the URL",
    "load_balance_hosts": "hosts are tried in the order of the URL",
    "hostaddr": "write the address as the host",
    "fallback_application_name": "write application_name",
    "client_encoding": "leave it out: it is always UTF8",
    "keepalives": _KEEPALIVE,
    "keepalives_idle": _KEEPALIVE,
    "keepalives_interval": _KEEPALIVE,
    "keepalives_count": _KEEPALIVE,
    "tcp_user_timeout": _KEEPALIVE,
}
_SEVERAL: Final = re.compile(r"(?P<before>[^/?#]*://(?:[^/?#]*@)?)(?P<hosts>[^/?#@]*,[^/?#@]*)")
_HOST: Final = re.compile(r"(?P<host>\[[^\]]+\]|[^:\[\]]+)(?::(?P<port>[0-9]{1,5}))?")
_OPTION: Final = re.compile(
    r"(?:-c\s*|--)(?P<name>[A-Za-z_][\w.-]*)=(?P<value>(?:\\.|[^\s\\])*)\s*"
)
_DURATION: Final = re.compile(r"(?P<number>[0-9]+)\s*(?P<unit>ms|s|min|)")


class Target(NamedTuple):
    """A parsed URL.

    Attributes:
        hosts: Host and port of each server, in the order in which they are tried; a host of None
            is the driver's choice (`PGHOST`, or the usual socket).
        arguments: Arguments of `asyncpg.connect`, the same for each host.
        connect_s: The time limit of a connection to one host.
        settings: Parameters of the session that the URL gives, by name.
    """

    hosts: tuple[tuple[str | None, int | None], ...]
    arguments: dict[str, Any]
    connect_s: float
    settings: dict[str, str]

    @property
    def place(self) -> str:
        """The servers, as messages name them."""
        named = (f"{host or 'its usual socket'}:{port or 5432}" for host, port in self.hosts)
        return f"PostgreSQL at {', '.join(named)}"


def one_host(text: str) -> str:
    """Move libpq's list of hosts (`h1:1,h2:2`) into the query, where a URL can have it."""
    found = _SEVERAL.match(text)
    if found is None:
        return text
    rest = text[found.end() :]
    query = urlencode({"host": found["hosts"]}, safe=",:[]")
    return f"{found['before']}{rest}{'&' if '?' in rest else '?'}{query}"


def read_target(url: URL) -> Target:
    """Read a URL of PostgreSQL. Raises StorageError; its text never contains a password."""
    query = {name: _last(value) for name, value in url.query.items()}
    if isinstance(hosts := url.query.get("host"), tuple):
        query["host"] = ",".join(hosts)
    for name in query:
        if name not in _KNOWN:
            known = f"known are {', '.join(sorted(_KNOWN))}"
            raise _wrong(name, f"is not supported; {_INSTEAD.get(name, known)}")
    _check_tls(query)
    wanted = query.get("target_session_attrs", "any")
    if wanted not in _TARGETS:
        raise _wrong("target_session_attrs", "must be read-write, primary or any: odds are written")
    arguments: dict[str, Any] = {
        "user": url.username or query.get("user"),
        "password": url.password or query.get("password"),
        "database": url.database or query.get("dbname"),
        "target_session_attrs": wanted,
        **{name: query[name] for name in _DRIVERS & query.keys()},
    }
    if tls := {name: query[name] for name in sorted(_TLS & query.keys())}:
        arguments["dsn"] = f"postgresql://?{urlencode(tls)}"
    settings = _options(query.get("options", ""))
    limit_s(settings, "statement_timeout")
    if "application_name" in query:
        settings["application_name"] = query["application_name"]
    return Target(_hosts(url, query), arguments, _connect_s(query), settings)


def limit_s(settings: Mapping[str, str], name: str) -> float | None:
    """Return a setting's duration in seconds; None without one, or for 0 (no limit)."""
    text = settings.get(name)
    if text is None:
        return None
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise _wrong("options", f"{name} must be a number of ms, or one with ms, s or min")
    scale = {"ms": 0.001, "": 0.001, "s": 1.0, "min": 60.0}[found["unit"]]
    return float(found["number"]) * scale or None


def _last(value: str | tuple[str, ...]) -> str:
    return value if isinstance(value, str) else value[-1]


def _wrong(name: str, why: str) -> StorageError:
    return StorageError(f"database.url: {name} {why}")


def _check_tls(query: Mapping[str, str]) -> None:
    mode = query.get("sslmode")
    if mode is not None and mode not in _MODES:
        raise _wrong("sslmode", f"must be one of {', '.join(_MODES)}")
    if query.get("sslrootcert") == "system":
        raise _wrong(
            "sslrootcert",
            "must be a file, such as /etc/ssl/certs/ca-certificates.crt instead of system",
        )
    for name in _FILES:
        if name in query and not os.access(query[name], os.R_OK):
            raise _wrong(name, f"{query[name]} is not there, or cannot be read")
    if "sslrootcert" in query:
        try:
            ssl.create_default_context(cafile=query["sslrootcert"])
        except OSError as error:
            raise _wrong("sslrootcert", f"{query['sslrootcert']}: {error}") from None


def _connect_s(query: Mapping[str, str]) -> float:
    text = query.get("connect_timeout")
    if text is None:
        return CONNECT_S
    if not text.isdecimal() or not 1 <= int(text) <= MOST_CONNECT_S:
        raise _wrong(
            "connect_timeout", f"must be 1 to {MOST_CONNECT_S:.0f} s: none may wait for ever"
        )
    return float(text)


def _hosts(url: URL, query: Mapping[str, str]) -> tuple[tuple[str | None, int | None], ...]:
    if url.host is not None or not query.get("host"):
        port = url.port or (_port(query["port"]) if query.get("port") else None)
        return ((url.host, port),)
    listed = query["host"].split(",")
    ports = query["port"].split(",") if query.get("port") else [""]
    if len(ports) == 1:
        ports *= len(listed)
    if len(ports) != len(listed):
        raise _wrong("port", f"names {len(ports)} ports for {len(listed)} hosts")
    found = []
    for text, port_text in zip(listed, ports, strict=True):
        if text.startswith("/"):
            found.append((text, _port(port_text)))
            continue
        host = _HOST.fullmatch(text)
        if host is None:
            raise _wrong("host", "must be a list such as db1:5432,db2:5432")
        found.append((host["host"].strip("[]"), _port(host["port"] or port_text)))
    return tuple(found)


def _port(text: str) -> int:
    if not text:
        return 5432
    if not text.isdecimal() or not 0 < int(text) < 2**16:
        raise _wrong("port", "must be 1 to 65535")
    return int(text)


def _options(text: str) -> dict[str, str]:
    """Read `-c name=value` and `--name=value`, the options that PostgreSQL's manual shows."""
    settings: dict[str, str] = {}
    rest = text.strip()
    while rest:
        found = _OPTION.match(rest)
        if found is None:
            raise _wrong("options", "must be settings such as -c search_path=odds")
        settings[found["name"].replace("-", "_")] = re.sub(r"\\(.)", r"\1", found["value"])
        rest = rest[found.end() :]
    return settings
