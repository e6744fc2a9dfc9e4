"""`import odds_service.client` is cheap, imports little, and patches nothing."""

import json
import resource
import subprocess
import sys
from typing import Final

from tests.support.command_line import ENVIRONMENT, output_of

CLIENT_S: Final = 0.3  # of CPU time
HEAVY: Final = frozenset(
    {
        "alembic", "anyio", "asyncpg", "httpx", "prometheus_client", "pydantic", "rich",
        "sqlalchemy", "structlog", "trio", "trio_asyncio", "typer",
    }
)  # fmt: skip

# Modules that concurrency libraries tend to patch; imported first, and compared by identity.
UNPATCHED: Final = """
import asyncio, asyncio.events, asyncio.tasks, builtins, json, logging, os, select, selectors
import signal, socket, ssl, subprocess, sys, threading, time, warnings
import typing_extensions  # which grpc imports: on Python 3.11 it replaces two helpers of typing
watched = {
    name: (module, dict(vars(module)))
    for name, module in tuple(sys.modules.items())
    if name.partition(".")[0] in sys.stdlib_module_names and name != "sys"
}
hooks = sys.excepthook, sys.unraisablehook, threading.excepthook, sys.getswitchinterval()
filters = list(warnings.filters)
import odds_service.client
changed = [
    f"{name}.{key}"
    for name, (module, before) in watched.items()
    for key, value in before.items()
    if vars(module).get(key) is not value
]
assert (sys.excepthook, sys.unraisablehook, threading.excepthook, sys.getswitchinterval()) == hooks
assert warnings.filters == filters
import json
print(json.dumps(changed))
"""


def cpu_s(script: str) -> float:
    """Return the least CPU time of three fresh interpreters that run a script."""

    def once() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", script], check=True, env=ENVIRONMENT)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    return min(once() for _ in range(3))


def test_it_brings_nothing_of_the_service_and_no_heavy_library() -> None:
    script = "import odds_service.client, json, sys; print(json.dumps(sorted(sys.modules)))"
    modules = set(json.loads(output_of(script)))
    assert {name.partition(".")[0] for name in modules} & HEAVY == set()
    parts = {name.split(".")[1] for name in modules if name.startswith("odds_service.")}
    assert parts == {"client", "errors", "model", "secrets", "wire"}
    assert "odds_service.wire.encode" not in modules
    assert "odds_service.client.on_trio" not in modules


def test_it_costs_less_than_the_limit_and_little_more_than_grpc() -> None:
    """The limit scales with the cost of importing the libraries alone, for slow machines.

    Each cost is the least of three: beside other work, one core does less in a second.
    """
    libraries = "import grpc, msgspec, ssl, google.protobuf.json_format, google.rpc.status_pb2"
    least, client = (
        min(cpu_s(code) for _ in range(3)) for code in (libraries, "import odds_service.client")
    )
    assert client < 2 * least
    slowness = max(1.0, least / 0.15)  # 0.15 s on the machine where the limit was set
    assert client < CLIENT_S * slowness


def test_nothing_in_the_standard_library_is_patched() -> None:
    assert json.loads(output_of(UNPATCHED)) == []


def test_a_patched_module_is_noticed() -> None:
    patching = UNPATCHED.replace("import odds_service.client", "threading.Thread = object")
    assert json.loads(output_of(patching)) == ["threading.Thread"]
