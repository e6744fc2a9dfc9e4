"""compose.yaml and deploy/kubernetes.yaml fit the service's settings, its image and each other."""

import json
import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from odds_service.access import check_address, check_http
from odds_service.cli import load
from odds_service.config import Settings, ShutdownSettings, load_settings
from odds_service.health import METHOD
from odds_service.loop_thread import STOP_DEADLINE_S
from odds_service.pipeline.write import SPILL_S
from odds_service.storage.database import CLOSE_S
from odds_service.storage.opening import parse_url

ROOT: Final = Path(__file__).resolve().parent.parent
DEPLOY: Final = ROOT / "deploy"
COMPOSE: Final = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
SERVICES: Final = COMPOSE["services"]
MANIFESTS: Final = {
    found["kind"]: found
    for found in yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text("utf-8"))
}
DOCKERFILE: Final = (ROOT / "Dockerfile").read_text("utf-8")


def pod() -> Any:
    return MANIFESTS["StatefulSet"]["spec"]["template"]["spec"]


def container() -> Any:
    (only,) = pod()["containers"]
    return only


def mounts(service: str) -> dict[str, str]:
    """Return the paths in a container, with the files and volumes that lie there."""
    listed = [volume.split(":") for volume in SERVICES[service]["volumes"]]
    return {target: source for source, target, *_ in listed}


def compose_settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in SERVICES["service"]["environment"].items():
        monkeypatch.setenv(name, value)
    return load_settings(ROOT / mounts("service")["/etc/odds/odds.toml"])


def kubernetes_settings(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Settings:
    secret = MANIFESTS["Secret"]["stringData"]
    for variable in container()["env"]:
        reference = variable["valueFrom"]["secretKeyRef"]
        assert reference["name"] == MANIFESTS["Secret"]["metadata"]["name"]
        monkeypatch.setenv(variable["name"], secret[reference["key"]])
    (folder / "tokens").write_text(secret["tokens"])
    text = MANIFESTS["ConfigMap"]["data"]["odds.toml"]
    (folder / "odds.toml").write_text(text.replace("/etc/odds-secrets", str(folder)))
    return load_settings(folder / "odds.toml")


def port_of(listen: str) -> int:
    return int(listen.rpartition(":")[2])


def check_command(command: list[str]) -> None:
    """Parse a command of odds-service; raises for unknown options."""
    name, *arguments = command
    load(name).make_context(name, arguments)


def longest_stop_s() -> float:
    shutdown = ShutdownSettings()
    return shutdown.drain_s + SPILL_S + shutdown.grace_s + CLOSE_S + STOP_DEADLINE_S


def test_compose_gives_the_service_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = compose_settings(monkeypatch)
    for section in (settings.server, settings.metrics):
        check_address(section)
    check_http(settings.http, settings.server)
    published = [each.split(":") for each in SERVICES["service"]["ports"]]
    ports = [port_of(settings.server.listen), port_of(settings.http.listen)]
    assert [int(inner) for _, _, inner in published] == ports
    for host, outer, inner in published:
        assert ip_address(host).is_loopback  # for it is served without a guard
        assert outer == inner
    assert settings.http.hosts == ["localhost"]  # so names that lead to loopback are refused
    check_command(SERVICES["service"]["command"])
    shell, probes = SERVICES["service"]["healthcheck"]["test"]
    assert shell == "CMD-SHELL"
    by_grpc, by_http = probes.split(" && ")
    check_command(by_grpc.split()[1:])
    (url,) = re.findall(r"http://[^']+", by_http)
    assert url == f"http://127.0.0.1:{port_of(settings.http.listen)}/readyz"
    program, flag, code = shlex.split(by_http)
    assert (program, flag) == ("python", "-c")
    compile(code, "the probe", "exec")
    assert float(SERVICES["service"]["stop_grace_period"].removesuffix("s")) > longest_stop_s()
    # What a stop spills outlives the container.
    workdir = re.findall(r"^WORKDIR (\S+)$", DOCKERFILE, re.MULTILINE)[-1]
    folder = workdir / (settings.database.spill_folder or Path())
    assert mounts("service")[str(folder)] in COMPOSE["volumes"]


def test_compose_s_parts_find_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = compose_settings(monkeypatch)
    url = parse_url(settings.database.url.get_secret_value())
    postgres = SERVICES[str(url.host)]
    assert url.database == postgres["environment"]["POSTGRES_DB"]
    assert url.username == postgres["environment"]["POSTGRES_USER"]
    # Its port, which asks for no password, is reached by the service alone.
    assert "ports" not in postgres
    (network,) = postgres["networks"]
    assert COMPOSE["networks"][network]["internal"]
    assert [name for name, each in SERVICES.items() if network in each["networks"]] == [
        "service", "postgres",
    ]  # fmt: skip
    (source,) = settings.sources
    host, _, port = source["url"].removeprefix("http://").partition(":")
    assert SERVICES[host]["entrypoint"] == ["python", "-m", "odds_service.demo"]
    assert SERVICES[host]["command"][-1] == port
    prometheus = yaml.safe_load((DEPLOY / "compose" / "prometheus.yml").read_text("utf-8"))
    (job,) = prometheus["scrape_configs"]
    (target,) = job["static_configs"][0]["targets"]
    assert target == f"service:{port_of(settings.metrics.listen)}"
    beside = yaml.safe_load((DEPLOY / "prometheus.yml").read_text("utf-8"))["scrape_configs"][0]
    assert job["job_name"] == beside["job_name"]  # as the alerts and the dashboard name it
    (found,) = yaml.safe_load((DEPLOY / "compose" / "datasources.yml").read_text())["datasources"]
    _, _, port = SERVICES["prometheus"]["ports"][0].split(":")
    assert found["url"] == f"http://prometheus:{port}"
    assert found["isDefault"]
    (provider,) = yaml.safe_load((DEPLOY / "compose" / "dashboards.yml").read_text())["providers"]
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert str(Path(home).parent) == provider["options"]["path"]
    assert json.loads((ROOT / mounts("grafana")[home]).read_text("utf-8"))["panels"]


def test_compose_s_files_and_volumes_exist() -> None:
    for name, service in SERVICES.items():
        for source in mounts(name).values() if "volumes" in service else ():
            if source.startswith("."):
                assert (ROOT / source).is_file(), (name, source)
            else:
                assert source in COMPOSE["volumes"], (name, source)
        for other in service.get("depends_on", {}):
            assert other in SERVICES
        assert set(service["networks"]) <= set(COMPOSE["networks"])
        for port in service.get("ports", ()):
            assert ip_address(port.split(":")[0]).is_loopback, name


def test_compose_asks_for_the_demo_s_sports_by_its_options(monkeypatch: pytest.MonkeyPatch) -> None:
    from odds_service.demo.bookmaker import SimulatedBookmaker
    from odds_service.demo.settings import SimulationSettings

    (source,) = compose_settings(monkeypatch).sources
    assert source["sports"] == SimulatedBookmaker(SimulationSettings()).sport_keys


def test_kubernetes_gives_the_service_its_settings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = kubernetes_settings(monkeypatch, tmp_path)
    for section in (settings.server, settings.metrics):
        check_address(section)
    check_http(settings.http, settings.server)
    check_command(container()["args"])
    ports = {port["name"]: port["containerPort"] for port in container()["ports"]}
    assert ports == {
        "grpc": port_of(settings.server.listen),
        "http": port_of(settings.http.listen),
        "metrics": port_of(settings.metrics.listen),
    }  # fmt: skip
    exposed = {port["targetPort"]: port["port"] for port in MANIFESTS["Service"]["spec"]["ports"]}
    assert exposed == ports
    notes = MANIFESTS["StatefulSet"]["spec"]["template"]["metadata"]["annotations"]
    assert int(notes["prometheus.io/port"]) == ports["metrics"]
    assert pod()["terminationGracePeriodSeconds"] > longest_stop_s()
    assert MANIFESTS["StatefulSet"]["spec"]["replicas"] == 1  # the owner of the database
    places = {mount["mountPath"]: mount["name"] for mount in container()["volumeMounts"]}
    claims = MANIFESTS["StatefulSet"]["spec"]["volumeClaimTemplates"]
    kept = {claim["metadata"]["name"] for claim in claims}
    assert set(places.values()) == kept | {volume["name"] for volume in pod()["volumes"]}
    assert places[str(settings.database.spill_folder)] in kept


@pytest.mark.parametrize(
    ("probe", "path"), [("readinessProbe", "/readyz"), ("livenessProbe", "/healthz")]
)
def test_kubernetes_probes_the_http_door(
    probe: str, path: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = kubernetes_settings(monkeypatch, tmp_path)
    assert container()[probe]["httpGet"] == {"path": path, "port": "http"}
    assert not settings.http.hosts  # callers come under the pod's name
    assert settings.server.tls_certificate is None  # otherwise it needs `scheme: HTTPS`


def test_kubernetes_waits_for_the_start_by_grpc_without_tls(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = kubernetes_settings(monkeypatch, tmp_path)
    asked = container()["startupProbe"]
    assert asked["grpc"] == {"port": port_of(settings.server.listen)}
    assert settings.server.tls_certificate is None  # a gRPC probe cannot use it
    assert METHOD == "/grpc.health.v1.Health/Check"  # what a gRPC probe calls


def test_kubernetes_labels_and_names_agree() -> None:
    labels = MANIFESTS["StatefulSet"]["spec"]["template"]["metadata"]["labels"]
    assert MANIFESTS["StatefulSet"]["spec"]["selector"]["matchLabels"] == labels
    assert MANIFESTS["Service"]["spec"]["selector"] == labels
    assert (
        MANIFESTS["StatefulSet"]["spec"]["serviceName"]
        == (MANIFESTS["Service"]["metadata"]["name"])
    )
    named = {
        "configMap": MANIFESTS["ConfigMap"]["metadata"]["name"],
        "secret": MANIFESTS["Secret"]["metadata"]["name"],
    }
    for volume in pod()["volumes"]:
        if "configMap" in volume:
            assert volume["configMap"]["name"] == named["configMap"]
        if "secret" in volume:
            assert volume["secret"]["secretName"] == named["secret"]
            for item in volume["secret"]["items"]:
                assert item["key"] in MANIFESTS["Secret"]["stringData"]
    user = re.findall(r"^USER (\d+):(\d+)$", DOCKERFILE, re.MULTILINE)[-1]
    context = pod()["securityContext"]
    assert (str(context["runAsUser"]), str(context["runAsGroup"])) == user


def texts(tree: Any, at: str = "") -> Iterator[tuple[str, str]]:
    """Yield each text in a tree with its place."""
    match tree:
        case dict():
            for name, value in tree.items():
                yield from texts(value, f"{at}.{name}")
        case list():
            for value in tree:
                yield from texts(value, at)
        case _:
            yield at, str(tree)


def test_no_file_holds_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in MANIFESTS["Secret"]["stringData"].items():
        assert "change-me" in value, name
    example = (DEPLOY / "compose" / "secrets.env.example").read_text("utf-8")
    settings = [line.lstrip("# ") for line in example.splitlines() if "=" in line]
    assert all("change-me" in line for line in settings)
    for place, text in texts(SERVICES):
        assert not re.search(r"password|secret|token|api_key", place, re.IGNORECASE), place
        assert not re.search(r"://[^/\s]*:[^/\s]*@", text), place  # a password in a URL
    assert compose_settings(monkeypatch).server.tokens == []
    (file,) = SERVICES["service"]["env_file"]
    assert not file["required"]
    ignored = (ROOT / ".gitignore").read_text("utf-8").splitlines()
    assert f"/{file['path']}" in ignored


def test_the_image_probes_by_health_and_has_programs_for_its_postgres() -> None:
    (probe,) = re.findall(r"HEALTHCHECK.*\\\n\s+CMD (\[.*\])", DOCKERFILE)
    assert json.loads(probe) == ["odds-service", "health"]
    (command,) = re.findall(r"^CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
    check_command(json.loads(command))
    (client,) = re.findall(r"postgresql-client-(\d+)", DOCKERFILE)
    image, _, server = SERVICES["postgres"]["image"].partition(":")
    assert image == "postgres"
    assert int(server) <= int(client)
    # The base's Debian has that client.
    assert set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)) == {"python:3.12-slim-trixie"}
    python = re.findall(r"^FROM python:(\d\.\d+)", DOCKERFILE, re.MULTILINE)[0]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert f"Programming Language :: Python :: {python}" in project["classifiers"]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_reads_compose_s_prometheus(tmp_path: Path) -> None:
    for target, source in mounts("prometheus").items():
        if source.startswith("."):
            shutil.copy(ROOT / source, tmp_path / Path(target).name)
    ended = subprocess.run(
        ["promtool", "check", "config", "prometheus.yml"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "alerts.yml" in ended.stdout
