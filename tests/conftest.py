"""Enforcement of the rules in `tests/__init__.py`: limits, claimed errors, markers by place."""

import gc
import sys
from collections.abc import Iterator
from typing import Final

import pytest
import structlog
from hypothesis import settings

from tests.support import examples

_ERRORS: Final = frozenset({"error", "critical"})

settings.load_profile("odds")

gc.disable()  # until all is imported, which makes no garbage

# Folders and modules whose tests start processes or whole services, or take seconds for each test.
_SLOW: Final = (
    "tests/board/", "tests/bus/test_bus.py", "tests/bus/test_finding.py", "tests/bus/test_log.py",
    "tests/bus/test_nats.py", "tests/bus/test_nats_bus.py", "tests/bus/test_outbox.py",
    "tests/bus/test_outbox_servers.py", "tests/bus/test_rights.py",
    "tests/bus/test_taking_over.py", "tests/cluster/",
    "tests/replica/test_follower.py", "tests/replica/test_node.py",
    "tests/replica/test_process.py", "tests/replica/test_rewinding.py",
    "tests/replica/test_roaming.py",
    "tests/e2e/", "tests/faults/", "tests/examples/", "tests/tools/", "tests/commands/",
    "tests/storage/", "tests/upgrade/", "tests/demo/", "tests/test_cli.py",
    "tests/columns/", "tests/serving/test_columns.py", "tests/importing/",
    "tests/http/test_openapi_service.py", "tests/http/test_reference.py", "tests/rpc/test_fuzz.py",
    "tests/serving/test_history.py",
    "tests/serving/test_slow_readers.py", "tests/serving/test_watch.py",
    "tests/client/test_changing_over.py", "tests/client/test_iterating.py",
    "tests/client/test_odds_map_freshness.py", "tests/client/test_replay.py",
    "tests/client/test_silent_servers.py",
    "tests/contract/test_watch_cuts.py", "tests/contract/test_watch_freshness.py",
    "tests/sources/test_http.py", "tests/sources/test_plug_in.py",
    "tests/reconcile/test_recorded.py", "tests/reconcile/test_grouping.py",
    "tests/workers/test_equal_logs.py", "tests/workers/test_workers.py",
)  # fmt: skip


_LONGEST: Final = (
    "tests/cluster/test_faults.py",
    "tests/faults/",
    "tests/e2e/",
    "tests/serving/test_history.py",
)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    """Spare collections what was imported: to look through it took a fifth of the tests' time."""
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by their place, and take the time limit off those that run for minutes.

    Files that take minutes come first: last, one would keep a worker at work while others wait.
    """
    for place in reversed(_LONGEST):
        items.sort(key=lambda item: not item.nodeid.startswith(place))
    many_examples = settings().max_examples >= examples.LONG
    for item in items:
        if item.nodeid.startswith(_SLOW) or ".zip]" in item.nodeid:
            item.add_marker(pytest.mark.slow)
        if item.get_closest_marker("long") or (
            many_examples and item.get_closest_marker("hypothesis")
        ):
            item.add_marker(pytest.mark.timeout(0))


@pytest.fixture(autouse=True)
def _errors_are_claimed(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test whose code logs an ERROR that nobody expects."""
    with structlog.testing.capture_logs() as logs:
        yield
    for entry in logs:
        sys.stdout.write(f"{entry}\n")  # shown beside a failure
    claimed = request.node.get_closest_marker("logs_errors") is not None
    errors = [entry for entry in logs if entry["log_level"] in _ERRORS]
    if errors and not claimed:
        pytest.fail(f"logged at ERROR without a claim: {errors[0]}", pytrace=False)
