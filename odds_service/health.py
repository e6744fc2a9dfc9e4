"""`odds-service health`: one question to the health service, for containers and load balancers.

A probe every few seconds must cost next to nothing, so it imports neither the client library nor
protobuf nor typer. The two messages are small enough to be written as bytes.
"""

import argparse
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import grpc

from odds_service.errors import OddsServiceError

DESCRIPTION: Final = (
    "Ask whether the service is serving; exit with code 1 if it is not. Needs no token."
)
METHOD: Final = "/grpc.health.v1.Health/Check"
REQUEST: Final = b""  # grpc.health.v1.HealthCheckRequest: the server as a whole
SERVING: Final = b"\x08\x01"  # grpc.health.v1.HealthCheckResponse: status SERVING


def ask_health(arguments: Sequence[str]) -> None:
    """Ask the server that the command line's arguments name; of several, until one is serving.

    Raises:
        OddsServiceError: None is serving, or it cannot be asked.
        SystemExit: The arguments are wrong, or ask for help.
    """
    options = parser().parse_args(arguments)
    servers = [each.strip() for each in options.server.split(",")]
    for server in servers:
        host, _, port = server.rpartition(":")
        if not host or not port.isdigit():
            raise OddsServiceError(f"{server!r} is not host:port")
    if (options.cert is None) != (options.key is None):
        raise OddsServiceError("a certificate and its key belong together: give --cert and --key")
    problems = []
    for server in servers:
        problem = _problem(server, options)
        if not problem:
            print("serving")  # noqa: T201  # its output
            return
        problems.append(f"{server}: {problem}")
    raise OddsServiceError("; ".join(problems))


def _problem(server: str, options: argparse.Namespace) -> str:
    """Return the reason why a server is not serving; empty if it is."""
    channel = grpc.insecure_channel(server)
    if options.tls or options.ca or options.cert:
        files = map(_read, (options.ca, options.key, options.cert))
        channel = grpc.secure_channel(server, grpc.ssl_channel_credentials(*files))
    with channel:
        try:
            answer = channel.unary_unary(METHOD, None, None)(REQUEST, timeout=options.within)
        except grpc.RpcError as error:
            return _reason(error)
    return "" if answer == SERVING else "not serving"


class _Parser(argparse.ArgumentParser):
    """A parser that knows the names of its options, with their help."""

    def __init__(self) -> None:
        self.helps: dict[str, str] = {}
        super().__init__("odds-service health", description=DESCRIPTION)

    def add_argument(self, *names: str, **settings: Any) -> argparse.Action:
        """Add an option, and keep its long name."""
        self.helps[names[-1]] = settings.get("help", "")
        return super().add_argument(*names, **settings)


def parser() -> _Parser:
    """Return the parser of the options, which completion lists too."""
    options = _Parser()
    options.add_argument(
        "--server",
        default=os.environ.get("ODDS_SERVER", "127.0.0.1:50051"),
        help="host:port of the service (or the variable ODDS_SERVER); of several, with commas"
        " between them, one must be serving",
    )
    options.add_argument(
        "--tls", action="store_true", help="use TLS, with the system's authorities"
    )
    options.add_argument("--ca", type=Path, help="use TLS, with the authorities in this PEM file")
    options.add_argument("--cert", type=Path, help="client certificate, for mutual TLS")
    options.add_argument("--key", type=Path, help="private key of --cert")
    options.add_argument(
        "--within", type=_seconds, default=3.0, help="seconds to wait for the answer (3)"
    )
    return options


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < math.inf:
        raise ValueError
    return seconds


def _read(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise OddsServiceError(f"{path} cannot be read: {error.strerror}") from None


def _reason(error: grpc.RpcError) -> str:
    if error.code() is grpc.StatusCode.UNAVAILABLE:
        return "no server answers there"
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return "no answer in time"
    return f"{error.code().name}: {error.details()}"
