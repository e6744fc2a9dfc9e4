"""Metrics of a running service, over HTTP."""

import ssl
from functools import partial
from pathlib import Path

import grpc
import httpx
import pytest
import trio
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from pydantic import SecretStr

from odds_service.config import MetricsSettings
from odds_service.errors import SettingsError
from odds_service.metrics.serve import serve_metrics
from odds_service.serving.meter import Meter
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.e2e.test_life import STILL
from tests.metrics.scraping import LOCAL, measured, scrape
from tests.metrics.test_families import READ
from tests.support.certificates import make_certificates
from tests.support.odds_builders import Client, connected
from tests.support.serving import wait_until


async def refused(client: Client, name: str, request: object) -> str:
    with pytest.raises(grpc.RpcError) as caught:
        await client.call(name, request)  # type: ignore[arg-type]  # a message
    return str(caught.value.code().name)


async def test_counters_agree_with_what_was_done(tmp_path: Path) -> None:
    async with measured(tmp_path, STILL, interval_s=60.0) as running:
        with connected(running.address) as client:
            for _ in range(3):
                await client.call("GetOdds", pb.GetOddsRequest())
            bad = pb.GetOddsRequest(filter=pb.Filter(sports=[""]))
            assert await refused(client, "GetOdds", bad) == "INVALID_ARGUMENT"
            unknown = pb.RefreshEventRequest(event_id="x")
            assert await refused(client, "RefreshEvent", unknown) == "NOT_FOUND"
            with client.watch() as stream, client.watch() as other:
                await stream.until("image_end")
                await other.until("image_end")
                during = await scrape(running)
            await wait_until(lambda: running.server.subscribers == 0, "streams to end")
        after = await scrape(running)
        (scraper,) = running.parts.scrapers.values()
        feed, cut = running.parts.feed, running.parts.cache.view()
        assert 0 < after.value("odds_source_pulls_total") <= scraper.counts.pulls
    with pytest.raises(OSError, match="connect"):  # it ends with the service
        await trio.open_tcp_stream("127.0.0.1", int(running.metrics.rpartition(":")[2]))

    assert during.value("odds_subscribers") == 2
    assert during.value("odds_subscriber_lag_changes_bucket", le="0.0") == 2
    assert during.value("grpc_server_started_total", grpc_method="WatchChanges") == 2
    assert after.value("odds_subscribers") == 0

    def ended(method: str, code: str) -> float:
        return after.value("grpc_server_handled_total", grpc_method=method, grpc_code=code)

    assert ended("GetOdds", "OK") == 3
    assert ended("GetOdds", "INVALID_ARGUMENT") == 1
    assert ended("RefreshEvent", "NOT_FOUND") == 1
    assert ended("WatchChanges", "CANCELLED") == 2
    assert after.value("grpc_server_started_total", grpc_method="GetOdds") == 4
    seconds = "grpc_server_handling_seconds"
    assert after.value(f"{seconds}_count", grpc_method="GetOdds") == 4
    assert after.value(f"{seconds}_bucket", grpc_method="GetOdds", le="+Inf") == 4
    assert 0 < after.value(f"{seconds}_sum", grpc_method="GetOdds") < 60
    assert after.value("odds_head_revision") == feed.head_revision
    assert after.value("odds_durable_revision") == feed.durable_revision
    assert after.value("odds_oldest_revision") == 1
    assert 0 < after.value("odds_writer_groups_total") <= running.parts.writer.groups
    assert after.value("odds_dead_letters") == after.value("odds_writer_retries_total") == 0
    assert after.value("odds_storage_wal_bytes") > 0
    assert after.value("odds_cache_events") == len(cut.events)
    bookmakers = [odds for entry in cut.events.values() for odds in entry.bookmakers.values()]
    assert after.value("odds_cache_bookmakers") == len(bookmakers)
    assert after.value("odds_cache_markets") == sum(len(odds.markets) for odds in bookmakers)
    assert after.value("odds_source_events") == len(cut.events)
    assert after.value("odds_source_state", state="up") == 1
    assert after.value("odds_source_failures_total") == 0
    assert after.value("odds_channel_capacity", channel="write") == 100_000
    assert after.value("odds_asyncio_faults_total") == 0
    assert after.value("process_resident_memory_bytes") > 2**20
    assert "secret-key" not in after.text
    for label in ("peer", "event", "bookmaker"):
        assert after.labels(label) == set()


async def test_failures_are_counted_by_kind(tmp_path: Path) -> None:
    sports = ["soccer_epl", "no_such_sport"]
    async with measured(tmp_path, STILL, sports=sports) as running:
        (scraper,) = running.parts.scrapers.values()
        await wait_until(lambda: scraper.counts.failures > 1, "failures")
        seen = await scrape(running)
    failures = seen.value("odds_source_failures_total")
    assert 1 < failures <= scraper.counts.failures
    assert seen.value("odds_source_problems_total", problem="unknown_sport") == failures


async def test_it_is_off_unless_asked_for(tmp_path: Path) -> None:
    async with measured(tmp_path, STILL, metrics=MetricsSettings()) as running:
        assert running.metrics == ""


async def test_what_else_is_asked_is_answered_so_and_ends_nothing(tmp_path: Path) -> None:
    async with measured(tmp_path, STILL) as running:
        async with httpx.AsyncClient(base_url=f"http://{running.metrics}") as client:
            assert (await client.get("/")).status_code == 404
            assert (await client.post("/metrics")).status_code == 405
            odd = {"accept": "application/openmetrics-text; version=x"}
            assert (await client.get("/metrics", headers=odd)).status_code == 200
            om = await client.get("/metrics", headers={"accept": "application/openmetrics-text"})
        names = {family.name for family in text_string_to_metric_families(om.text)}  # type: ignore[no-untyped-call]
        assert "odds_head_revision" in names
        assert (await scrape(running)).value("odds_build_info") == 1


async def test_probes_need_no_token_and_tell_whether_the_service_takes_calls() -> None:
    ready = [True]
    guarded = MetricsSettings(listen="127.0.0.1:0", tokens=[SecretStr("scraper")])
    async with trio.open_nursery() as nursery:
        serve = partial(serve_metrics, guarded, lambda: READ, ready=lambda: bool(ready))
        address = await nursery.start(serve)
        async with httpx.AsyncClient(base_url=f"http://{address}") as client:
            assert (await client.get("/metrics")).status_code == 401
            assert (await client.get("/healthz")).text == "ok\n"
            assert (await client.get("/readyz")).status_code == 200
            ready.clear()
            assert (await client.get("/readyz")).status_code == 503
            assert (await client.get("/healthz")).status_code == 200
        nursery.cancel_scope.cancel()


async def test_a_running_service_is_ready_and_answers_while_it_drains(tmp_path: Path) -> None:
    async with measured(tmp_path, STILL) as running:
        async with httpx.AsyncClient(base_url=f"http://{running.metrics}") as client:
            assert (await client.get("/readyz")).status_code == 200
            await running.server.set_serving(False)  # the first step of a stop
            assert (await client.get("/readyz")).status_code == 503
            assert (await client.get("/healthz")).status_code == 200
            assert (await scrape(running)).value("odds_build_info") == 1


@pytest.mark.logs_errors
async def test_a_scrape_that_fails_is_a_500_and_ends_nothing() -> None:
    broken = [True]

    def read() -> object:
        if broken:
            raise LookupError("a bug")
        return READ

    async with trio.open_nursery() as nursery:
        address = await nursery.start(serve_metrics, LOCAL, read)
        async with httpx.AsyncClient(base_url=f"http://{address}") as client:
            failed = await client.get("/metrics")
            assert failed.status_code == 500
            assert "a bug" not in failed.text
            broken.clear()
            assert (await client.get("/metrics")).status_code == 200
        nursery.cancel_scope.cancel()


async def test_tokens_and_tls_guard_it(tmp_path: Path) -> None:
    make_certificates(tmp_path)
    guarded = MetricsSettings(
        listen="127.0.0.1:0",
        tls_certificate=tmp_path / "server.pem",
        tls_key=tmp_path / "server.key",
        tls_client_ca=tmp_path / "ca.pem",
        tokens=[SecretStr("scraper")],
    )
    trust = ssl.create_default_context(cafile=tmp_path / "ca.pem")
    known = ssl.create_default_context(cafile=tmp_path / "ca.pem")
    known.load_cert_chain(tmp_path / "client.pem", tmp_path / "client.key")
    async with trio.open_nursery() as nursery:
        address = await nursery.start(serve_metrics, guarded, lambda: READ)
        async with httpx.AsyncClient(base_url=f"https://{address}", verify=known) as client:
            assert (await client.get("/metrics")).status_code == 401
            wrong = await client.get("/metrics", headers={"authorization": "Bearer other"})
            assert (wrong.status_code, wrong.headers["www-authenticate"]) == (401, "Bearer")
            right = await client.get("/metrics", headers={"authorization": "Bearer scraper"})
            assert "odds_head_revision 107" in right.text
        async with httpx.AsyncClient(base_url=f"https://{address}", verify=trust) as client:
            with pytest.raises(httpx.TransportError):  # no certificate of its own
                await client.get("/metrics", headers={"authorization": "Bearer scraper"})
        async with httpx.AsyncClient(base_url=f"http://{address}") as client:
            with pytest.raises(httpx.TransportError):  # no TLS
                await client.get("/metrics")
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (MetricsSettings(listen="0.0.0.0:0"), "metrics.listen: 0.0.0.0:0 can be reached by others"),
        (MetricsSettings(listen="nowhere"), "metrics.listen: 'nowhere' is not like"),
        (MetricsSettings(listen="127.0.0.1:0", tokens=[SecretStr("")]), "metrics.tokens"),
        (MetricsSettings(listen="127.0.0.1:0", tls_key=Path("k")), "metrics: tls_certificate and"),
    ],
)
async def test_what_is_wrong_is_named(settings: MetricsSettings, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        await serve_metrics(settings, lambda: READ)


async def test_a_port_that_is_taken_is_named() -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        taken = MetricsSettings(listen=f"127.0.0.1:{listener.socket.getsockname()[1]}")
        with pytest.RaisesGroup(
            pytest.RaisesExc(SettingsError, match="cannot listen on"), flatten_subgroups=True
        ):
            await serve_metrics(taken, lambda: READ)


def test_a_meter_puts_calls_where_they_belong(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([10.0, 10.001, 20.0, 120.0])
    monkeypatch.setattr("odds_service.serving.meter.perf_counter", lambda: next(times))
    meter = Meter("M", streams=False)
    meter.end("OK", meter.begin())
    meter.end("INTERNAL", meter.begin())
    report = meter.report()
    assert report.started == 2
    assert report.handled == {"OK": 1, "INTERNAL": 1}
    assert (report.buckets[0] + report.buckets[1], report.buckets[-1]) == (1, 1)
    assert sum(report.buckets) == 2
    assert report.total_s == pytest.approx(100.001)
