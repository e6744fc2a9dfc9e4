"""The files in deploy/ fit the service: metrics and labels exist, the unit leaves time to drain.

Prometheus' promtool, where it is installed, checks the rules and runs their tests.
"""

import configparser
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from msgspec.structs import replace
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric

from odds_service.cli import load
from odds_service.config import ShutdownSettings
from odds_service.loop_thread import STOP_DEADLINE_S
from odds_service.metrics.bus import bus_families
from odds_service.metrics.workers import worker_families
from odds_service.pipeline.write import SPILL_S
from odds_service.storage.database import CLOSE_S
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.e2e.test_life import STILL
from tests.metrics.scraping import Scrape, measured, scrape
from tests.metrics.test_bus import FOLLOWER, INGEST
from tests.metrics.test_workers import WORKERS
from tests.support.odds_builders import connected
from tests.support.serving import call, wait_until

ROOT: Final = Path(__file__).resolve().parent.parent
DEPLOY: Final = ROOT / "deploy"
WORDS: Final = {"by", "ignoring", "on", "or", "and", "unless", "offset", "without"}
ADDED: Final = {"job", "instance"}  # labels that Prometheus adds
SELECTOR: Final = re.compile(r"([a-z_:][a-z0-9_:]*)\s*\{([^}]*)\}", re.IGNORECASE)
MATCHER: Final = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')


def dashboard() -> Any:
    return json.loads((DEPLOY / "grafana.json").read_text("utf-8"))


def alert_rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((DEPLOY / "alerts.yml").read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def expressions() -> Iterator[tuple[str, str]]:
    """Yield the place and the text of each expression in the files."""
    for rule in alert_rules():
        yield rule["alert"], rule["expr"]
    board = dashboard()
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]
    for annotation in board["annotations"]["list"]:
        yield annotation["name"], annotation["expr"]
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            inner = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["definition"])
            assert inner is not None, variable
            yield variable["name"], f"sum by ({inner[2]}) ({inner[1]})"


def metrics_in(expression: str) -> set[str]:
    """Return the metrics in an expression: names that are no function, keyword, label or text."""
    text = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\"[^\"]*\"", " ", expression)
    text = re.sub(r"\b(by|ignoring|on|without)\s*\([^)]*\)", " ", text)
    text = re.sub(r"\boffset\s+\w+", " ", text)
    found = re.findall(r"(?<![\w.])([a-z_:][a-z0-9_:]*)\b(?!\s*\()", text, re.IGNORECASE)
    return set(found) - WORDS


def grouped_by(expression: str) -> set[str]:
    found = re.findall(r"\b(?:by|ignoring|on)\s*\(([^)]*)\)", expression)
    return {label.strip() for labels in found for label in labels.split(",")}


def test_names_are_found_in_expressions() -> None:
    text = 'sum by (le, a) (rate(m_x{a="b", c!="d"}[5m] offset 1h)) > 3 * up and n_total / 1e6'
    assert metrics_in(text) == {"m_x", "up", "n_total"}
    assert grouped_by(text) == {"le", "a"}


@pytest.fixture(scope="module")
def names() -> set[str]:
    return {name for _, text in expressions() for name in metrics_in(text)}


async def full_scrape(folder: Path) -> Scrape:
    """Return a scrape of a service that has had every kind of success and failure shown."""
    async with measured(folder, STILL) as running:
        (scraper,) = running.parts.scrapers.values()
        scraper.counts.problems["bad_market"] += 1  # a problem that the simulation never causes
        await call(running.address, lambda stub: stub.GetOdds(pb.GetOddsRequest(), timeout=30))
        with connected(running.address) as client, client.watch() as stream:
            await stream.until("image_end")
            await wait_until(lambda: running.parts.writer.groups > 0, "a write")
            sizes = running.parts.sizes
            await wait_until(lambda: sizes.report is not None, "a size")
            assert sizes.report is not None
            # The growth is known after an hour, and the simulation moves no price.
            sizes.report = replace(sizes.report, growth_bytes_per_day=1.0)
            tier = running.parts.delays.of(scraper.source.name, scraper.source.pace.tiers[0].name)
            for histogram in tier.stages.values():
                histogram.add(1.0)
            found = await scrape(running)
    return Scrape(found.text + generate_latest(BusNodes()).decode())


class BusNodes(CollectorRegistry):
    """The metrics that nodes and workers add to those of a single process."""

    def collect(self) -> Iterator[Metric]:
        """Yield them."""
        yield from bus_families(INGEST)
        yield from bus_families(FOLLOWER)
        yield from worker_families(WORKERS)


async def test_every_expression_uses_what_there_is(tmp_path: Path) -> None:
    seen = await full_scrape(tmp_path)
    labels: dict[str, dict[str, set[str]]] = {}
    for name, pairs in seen.samples:
        for label, value in pairs:
            labels.setdefault(name, {}).setdefault(label, set()).add(value)
    known = seen.names | {"up"}
    for where, text in expressions():
        used = metrics_in(text)
        assert used, where
        assert used <= known, (where, used - known)
        has = ADDED.union(*(labels.get(name, {}).keys() for name in used))
        assert grouped_by(text) <= has, where
        for name, inside in SELECTOR.findall(text):
            for label, how, value in MATCHER.findall(inside):
                if label in ADDED:
                    continue
                values = labels.get(name, {}).get(label)
                assert values, (where, name, label)
                if not value.startswith("$") and label != "grpc_code":
                    wanted = set(value.split("|")) if how == "=~" else {value}
                    assert wanted <= values, (where, name, label, value)


async def test_every_metric_is_shown_and_described(tmp_path: Path, names: set[str]) -> None:
    ours = {name for name in (await full_scrape(tmp_path)).names if name.startswith("odds_")}
    text = (ROOT / "docs" / "operations.md").read_text("utf-8")
    described = text.partition("\n## Metrics\n")[2].partition("\n## ")[0]
    undescribed = {name for name in ours if f"`{name}`" not in described}
    assert {name for name in undescribed if not name.endswith(("_gsum", "_gcount"))} == set()
    for name in re.findall(r"`((?:odds|grpc_server)_[a-z_]+)`", described):
        assert name in ours or name.startswith("grpc_server_"), (
            f"{name} is described but does not exist"
        )
    not_shown = ours - names - {"odds_build_info", "odds_source_info"}
    assert {name for name in not_shown if not name.endswith(("_gsum", "_gcount"))} == set()


def test_alerts_say_what_is_wrong_and_how_urgent_it_is() -> None:
    rules = alert_rules()
    assert len({rule["alert"] for rule in rules}) == len(rules) > 10
    for rule in rules:
        assert rule["labels"]["severity"] in {"page", "ticket"}, rule["alert"]
        assert set(rule["annotations"]) == {"summary", "description"}


def test_the_dashboard_has_a_place_for_every_panel() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24


def unit() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]  # systemd's keys have capitals
    parser.read_string((DEPLOY / "odds-service.service").read_text("utf-8"))
    return parser


def test_the_unit_leaves_more_time_than_a_stop_takes() -> None:
    service, shutdown = unit()["Service"], ShutdownSettings()
    longest_s = shutdown.drain_s + SPILL_S + shutdown.grace_s + CLOSE_S + STOP_DEADLINE_S
    assert float(service["TimeoutStopSec"]) > longest_s
    assert service["KillSignal"] == "SIGTERM"


def test_the_unit_s_command_is_one() -> None:
    _, name, *arguments = shlex.split(unit()["Service"]["ExecStart"])
    context = load(name).make_context(name, arguments)  # raises for unknown options
    assert context.params["config"].suffix == ".toml"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    # It looks for the program, which is installed on no machine that only runs the tests.
    program = "/opt/odds-service/bin/odds-service"
    text = (DEPLOY / "odds-service.service").read_text("utf-8")
    assert program in text
    path = tmp_path / "odds-service.service"
    for extra, complaints in (("", False), ("\n[Service]\nNoNewPrivilege=yes\n", True)):
        path.write_text(text.replace(program, "/bin/true") + extra)
        ended = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", path],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        ours = [line for line in ended.stderr.splitlines() if path.name in line]
        assert bool(ours) == complaints, ended.stderr


def test_prometheus_is_told_of_the_rules_and_the_port() -> None:
    settings = yaml.safe_load((DEPLOY / "prometheus.yml").read_text("utf-8"))
    assert settings["rule_files"] == ["alerts.yml"]
    (job,) = settings["scrape_configs"]
    assert job["job_name"] == "odds-service"
    described = (ROOT / "docs" / "operations.md").read_text("utf-8")
    assert job["static_configs"][0]["targets"][0] in described
    assert job.get("metrics_path", "/metrics") == "/metrics"


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
@pytest.mark.parametrize(
    "arguments", [("check", "rules", "alerts.yml"), ("test", "rules", "alerts_test.yml")]
)
def test_promtool_agrees(arguments: tuple[str, ...]) -> None:
    ended = subprocess.run(
        ["promtool", *arguments], cwd=DEPLOY, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_reads_the_dashboard_s_expressions(tmp_path: Path) -> None:
    rules = [
        {"record": f"r:{place}", "expr": re.sub(r"\$\w+", "x", text)}
        for place, (_, text) in enumerate(expressions())
    ]
    path = tmp_path / "rules.yml"
    path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    ended = subprocess.run(
        ["promtool", "check", "rules", path], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
