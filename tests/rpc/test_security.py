"""The promises of api.md under Security, each over the wire: TLS, tokens, limits, errors.

Clients are the library's own where it has the call, and gRPC's bare ones where the status's details
are looked at.
"""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import structlog.testing
import trio
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, QuotaFailure, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status
from pydantic import SecretStr

from odds_service.access import REREAD_S, Tokens
from odds_service.bridge import TrioGate
from odds_service.client import Address, Filter, ServiceError, open_client, open_sync_client
from odds_service.config import ServerSettings, load_settings
from odds_service.errors import SettingsError
from odds_service.model.market import MarketKey
from odds_service.rpc import standard
from odds_service.rpc.handlers import MAX_REQUEST_BYTES
from odds_service.rpc.parts import RpcParts
from odds_service.rpc.server import MAX_RECEIVED_BYTES, RpcServer, serve_grpc
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.support.certificates import make_certificates
from tests.support.observations import observe, offered
from tests.support.odds_builders import Bookkeeping, Client, connected, serving
from tests.support.serving import wait_until

LOCAL = ServerSettings(listen="127.0.0.1:0")


def small_book() -> Bookkeeping:
    book = Bookkeeping()
    book.see(observe(offered({"e": {"b": {MarketKey("h2h"): {"home": 1.5, "away": 2.5}}}})))
    return book


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder)
    return folder


def tls(folder: Path, *, mutual: bool = False, **more: Any) -> ServerSettings:
    return ServerSettings(
        listen="127.0.0.1:0",
        tls_certificate=folder / "server.pem",
        tls_key=folder / "server.key",
        tls_client_ca=folder / "ca.pem" if mutual else None,
        **more,
    )


def details(error: grpc.RpcError) -> dict[str, Any]:
    """The details of a status by the name of their type."""
    status = rpc_status.from_call(error)  # type: ignore[arg-type]  # its stub wants a Call, which it is
    assert status is not None, error
    found: dict[str, Any] = {}
    for packed in status.details:
        for kind in (BadRequest, ErrorInfo, QuotaFailure, RetryInfo):
            message = kind()
            if packed.Unpack(message):
                found[kind.__name__] = message
    assert len(found) == len(status.details)
    return found


async def odds_of(address: Address) -> int:
    """Count the events that the library's synchronous client reads."""

    def read() -> int:
        with open_sync_client(address) as client:
            return len(client.get_odds(timeout_s=20).events)

    return await trio.to_thread.run_sync(read)


async def refusal_of(address: Address) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        await odds_of(address)
    return caught.value


# --- TLS


async def test_tls_is_spoken_to_clients_that_trust_the_authority(certificates: Path) -> None:
    async with serving(small_book(), settings=tls(certificates)) as server:
        assert await odds_of(Address(server.address, ca=certificates / "ca.pem")) == 1
        async with open_client(Address(server.address, ca=certificates / "ca.pem")) as client:
            assert len((await client.get_odds()).events) == 1
            async with client.watch() as watch:
                async for step in watch.steps():
                    if type(step).__name__ == "ImageLoaded":
                        break
            assert len(watch.odds.events) == 1
        for stranger in (Address(server.address), Address(server.address, tls=True)):
            assert (await refusal_of(stranger)).code == "UNAVAILABLE"


async def test_mutual_tls_lets_in_only_certificates_of_the_authority(
    certificates: Path, tmp_path: Path
) -> None:
    make_certificates(tmp_path)  # another authority
    ca = certificates / "ca.pem"
    async with serving(small_book(), settings=tls(certificates, mutual=True)) as server:

        def known_by(folder: Path) -> Address:
            certificate, key = folder / "client.pem", folder / "client.key"
            return Address(server.address, ca=ca, certificate=certificate, key=key)

        assert await odds_of(known_by(certificates)) == 1
        for stranger in (Address(server.address, ca=ca), known_by(tmp_path)):
            assert (await refusal_of(stranger)).code == "UNAVAILABLE"


async def test_tls_and_tokens_together(certificates: Path) -> None:
    settings = tls(certificates, tokens=[SecretStr("one"), SecretStr("two")])
    ca = certificates / "ca.pem"
    async with serving(small_book(), settings=settings) as server:
        assert await odds_of(Address(server.address, ca=ca, token="two")) == 1
        assert (await refusal_of(Address(server.address, ca=ca))).code == "UNAUTHENTICATED"
        wrong = await refusal_of(Address(server.address, ca=ca, token="three"))
    assert (wrong.code, wrong.reason) == ("UNAUTHENTICATED", "UNAUTHENTICATED")
    assert "three" not in str(wrong)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"tls_key": None}, "must both be set"),
        ({"tls_key": "client.key"}, r"server\.tls_key: .* is not the key of"),
        ({"tls_certificate": "absent.pem"}, "absent.pem cannot be read"),
        ({"tls_client_ca": "ca.key"}, r"server\.tls_client_ca: .* holds no certificate"),
        ({"tls_client_ca": "absent.pem"}, "absent.pem cannot be read"),
    ],
)
async def test_tls_files_that_do_not_fit_are_named_at_the_start(
    certificates: Path, change: dict[str, str | None], says: str
) -> None:
    update = {key: None if name is None else certificates / name for key, name in change.items()}
    settings = tls(certificates).model_copy(update=update)
    with pytest.RaisesGroup(pytest.RaisesExc(SettingsError, match=says), flatten_subgroups=True):
        async with serving(small_book(), settings=settings):
            raise AssertionError("it serves")


# --- tokens


async def test_tokens_come_from_a_file_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "tokens"
    file.write_text("# who: what for\nfrom-file\n")
    monkeypatch.setenv("ODDS_SERVER__TOKENS", '["from-environment"]')
    monkeypatch.setenv("ODDS_SERVER__TOKENS_FILE", str(file))
    monkeypatch.setenv("ODDS_SERVER__LISTEN", "127.0.0.1:0")
    settings = load_settings().server
    async with serving(small_book(), settings=settings) as server:
        for token in ("from-file", "from-environment"):
            assert await odds_of(Address(server.address, token=token)) == 1
        assert (await refusal_of(Address(server.address, token="# who"))).code == "UNAUTHENTICATED"
    assert "from-environment" not in repr(settings)


def test_a_tokens_file_that_changes_is_read_again_and_one_that_breaks_changes_nothing(
    tmp_path: Path,
) -> None:
    now = [0.0]
    file = tmp_path / "tokens"
    file.write_text("old\nkept\n")
    tokens = Tokens(ServerSettings(tokens_file=file), lambda: now[0])

    def later() -> None:
        now[0] += REREAD_S

    kept = tokens.holder("Bearer kept")
    assert kept is not None
    assert tokens.holder("Bearer old")
    file.write_text("new token\nkept\n")
    os.utime(file, (1, 1))  # also where a clock is coarse
    assert tokens.holder("Bearer old"), "it is not looked at with every call"
    later()
    assert tokens.holder("Bearer old") is None
    assert tokens.holder("Bearer new token")
    assert tokens.holder("Bearer kept") == kept, "its limits are those of before"
    file.write_text("# nobody\n")
    later()
    with structlog.testing.capture_logs() as logs:
        assert tokens.holder("Bearer kept") == kept
    assert [entry["event"] for entry in logs] == ["tokens_not_read_again"]
    file.unlink()
    later()
    assert tokens.holder("Bearer kept") == kept
    assert tokens.holder("Bearer ") is None
    file.write_text("last\n")
    later()
    assert tokens.holder("Bearer last")
    assert tokens.holder("Bearer kept") is None


def test_every_token_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []

    def spy(known: bytes, given: bytes) -> bool:
        compared.append((len(known), len(given)))
        return known == given

    monkeypatch.setattr("odds_service.access.hmac.compare_digest", spy)
    tokens = Tokens(ServerSettings(tokens=[SecretStr(text) for text in ("a", "bb", "ccc")]))
    for given in ("Bearer a", "Bearer ccc", "Bearer nothing like these", "Bearer "):
        compared.clear()
        tokens.holder(given)
        assert compared == [(32, 32)] * 3  # all of them, as digests of one length


# --- addresses


async def test_a_public_address_is_refused_before_anything_listens() -> None:
    with pytest.RaisesGroup(
        pytest.RaisesExc(
            SettingsError, match=r"without TLS or tokens: set server\.tls_certificate"
        ),
        flatten_subgroups=True,
    ):
        async with serving(small_book(), settings=ServerSettings(listen="0.0.0.0:0")):
            raise AssertionError("it serves")


async def test_a_public_address_is_served_when_told_explicitly() -> None:
    settings = ServerSettings(listen="0.0.0.0:0", insecure_public=True)
    async with serving(small_book(), settings=settings) as server:
        port = server.address.rpartition(":")[2]
        assert await odds_of(Address(f"127.0.0.1:{port}")) == 1


def test_loopback_is_the_default() -> None:
    assert ServerSettings().listen == "127.0.0.1:50051"


# --- limits


async def exhausted(client: Client, call: str, request: Any) -> dict[str, Any]:
    with pytest.raises(grpc.RpcError) as caught:
        await client.call(call, request)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    return details(caught.value)


def quota(found: dict[str, Any]) -> str:
    (violation,) = found["QuotaFailure"].violations
    assert violation.description
    return str(violation.subject)


@contextmanager
def open_streams(client: Client, count: int) -> Iterator[list[Any]]:
    with ExitStack() as opened:
        yield [opened.enter_context(client.watch()) for _ in range(count)]


async def test_streams_are_limited_per_client_and_in_all(certificates: Path) -> None:
    settings = tls(
        certificates,
        tokens=[SecretStr(name) for name in ("a", "b", "c")],
        max_streams=3,
        max_streams_per_client=2,
    )
    trust = grpc.ssl_channel_credentials((certificates / "ca.pem").read_bytes())

    def client_of(channel: grpc.Channel, token: str) -> Client:
        return Client(channel, [("authorization", f"Bearer {token}")])

    async with serving(small_book(), settings=settings) as server:
        with grpc.secure_channel(server.address, trust) as channel:
            a, b, c = (client_of(channel, token) for token in "abc")
            with open_streams(a, 2) as first, open_streams(b, 1) as second:
                for stream in first + second:
                    await stream.until("image_end")
                with c.watch() as refused:
                    found = details(await refused.error())
                assert quota(found) == "streams"
                assert "RetryInfo" in found
                assert len((await c.call("GetOdds", pb.GetOddsRequest())).events) == 1
            await wait_until(lambda: server.subscribers == 0, "the streams to end")
            with open_streams(c, 2) as third:
                for stream in third:
                    await stream.until("image_end")
                with c.watch() as refused:
                    found = details(await refused.error())
                assert quota(found) == "streams per client"
                assert "RetryInfo" not in found  # it has to end one of its own
                with a.watch() as other:
                    await other.until("image_end")


async def test_requests_per_second_are_limited_and_the_client_is_told_how_long_to_wait() -> None:
    settings = ServerSettings(listen="127.0.0.1:0", max_requests_per_s=0.5)
    async with serving(small_book(), settings=settings) as server:
        with connected(server.address) as client:
            await client.call("GetOdds", pb.GetOddsRequest())
            found = await exhausted(client, "GetOdds", pb.GetOddsRequest())
        assert quota(found) == "requests per second"
        assert 0 < found["RetryInfo"].retry_delay.ToTimedelta().total_seconds() <= 2
        error = await refusal_of(Address(server.address))
    assert error.code == "RESOURCE_EXHAUSTED"
    assert error.retry_after_s is not None
    assert error.passing


async def test_the_size_of_a_request_is_limited() -> None:
    async with serving(small_book()) as server:
        with connected(server.address) as client:
            long = pb.GetOddsRequest(filter=pb.Filter(event_ids=["e" * MAX_REQUEST_BYTES]))
            assert quota(await exhausted(client, "GetOdds", long)) == "request size"
            with client.watch(filter=long.filter) as stream:
                assert quota(details(await stream.error())) == "request size"
            too_long = pb.GetOddsRequest(filter=pb.Filter(event_ids=["e" * MAX_RECEIVED_BYTES]))
            with pytest.raises(grpc.RpcError) as caught:  # gRPC's own limit: it is not even read
                await client.call("GetOdds", too_long)
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert len((await client.call("GetOdds", pb.GetOddsRequest())).events) == 1


async def test_the_size_of_a_reply_is_limited() -> None:
    book = Bookkeeping()
    shown = {"b": {MarketKey("h2h"): {f"{n}{'n' * 500}": 1.5 for n in range(20)}}}
    book.see(observe(offered({f"e{number}": shown for number in range(450)})))
    async with serving(book) as server:
        with connected(server.address) as client:
            found = await exhausted(client, "GetOdds", pb.GetOddsRequest())
    assert quota(found) == "reply size"
    assert "image" in found["QuotaFailure"].violations[0].description
    assert "RetryInfo" not in found  # waiting does not help


@asynccontextmanager
async def refreshing(
    book: Bookkeeping, settings: ServerSettings, entered: trio.Event, go_on: trio.Event
) -> AsyncIterator[str]:
    """A server whose refreshes wait to be told."""

    async def refresh(event_id: str, deadline_s: float) -> Any:
        entered.set()
        await go_on.wait()
        raise LookupError(f"a library's message about {event_id}")

    async with trio.open_nursery() as nursery:
        parts = RpcParts(
            cache=book.cache, feed=book.feed, gate=TrioGate(nursery), settings=settings,
            status=book.status, store=book, refresh=refresh, now=lambda: book.now,
        )  # fmt: skip
        server: RpcServer = await nursery.start(serve_grpc, parts)
        yield server.address
        await server.stop(2.0)


async def test_refreshes_at_once_are_limited_and_a_crash_is_internal_with_the_log_s_id() -> None:
    entered, go_on = trio.Event(), trio.Event()
    settings = ServerSettings(listen="127.0.0.1:0", max_refreshes=1)
    codes = []

    async def first(client: Client) -> None:
        with pytest.raises(grpc.RpcError) as caught:
            await client.call("RefreshEvent", pb.RefreshEventRequest(event_id="e"))
        codes.append((caught.value.code(), str(caught.value.details()), details(caught.value)))

    with structlog.testing.capture_logs() as logs:
        async with refreshing(small_book(), settings, entered, go_on) as address:
            with connected(address) as client:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(first, client)
                    await entered.wait()
                    second = pb.RefreshEventRequest(event_id="e")
                    found = await exhausted(client, "RefreshEvent", second)
                    go_on.set()
    assert quota(found) == "concurrent refreshes"
    assert "RetryInfo" in found
    ((code, text, internal),) = codes
    assert code is grpc.StatusCode.INTERNAL
    assert "library" not in text
    error_id = internal["ErrorInfo"].metadata["error_id"]
    assert error_id in text
    (logged,) = [entry for entry in logs if entry["event"] == "rpc_crashed"]
    assert logged["error_id"] == error_id
    assert isinstance(logged["exc_info"], LookupError)


# --- wrong requests


@pytest.mark.parametrize(
    ("call", "request_", "field"),
    [
        ("GetOdds", pb.GetOddsRequest(filter=pb.Filter(sports=[""])), "filter.sports"),
        ("ListEvents", pb.ListEventsRequest(page_size=-1), "page_size"),
        ("ListEvents", pb.ListEventsRequest(page_token="?"), "page_token"),
        ("RefreshEvent", pb.RefreshEventRequest(), "event_id"),
    ],
)
async def test_a_wrong_request_names_its_field(call: str, request_: Any, field: str) -> None:
    async with refreshing(small_book(), LOCAL, trio.Event(), trio.Event()) as address:
        with connected(address) as client:
            with pytest.raises(grpc.RpcError) as caught:
                await client.call(call, request_)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    (violation,) = details(caught.value)["BadRequest"].field_violations
    assert violation.field == field
    assert violation.description


async def test_the_library_hands_the_field_on() -> None:
    async with serving(small_book()) as server:
        async with open_client(server.address) as client:
            with pytest.raises(ServiceError) as caught:
                await client.get_odds(Filter(sports=[""]))
    assert list(caught.value.fields) == ["filter.sports"]
    assert not caught.value.passing


# --- strangers


async def test_health_and_reflection_need_no_token_and_cannot_take_all_places(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(standard, "PLACES", 3)
    settings = ServerSettings(listen="127.0.0.1:0", tokens=[SecretStr("t")])
    request = health_pb2.HealthCheckRequest()
    async with serving(small_book(), settings=settings) as server:
        with connected(server.address) as client:
            stub = health_pb2_grpc.HealthStub(client.channel)

            def watch_all() -> Status:
                watches = [stub.Watch(request, timeout=20) for _ in range(3)]
                for watch in watches:
                    next(watch)
                with pytest.raises(grpc.RpcError) as caught:
                    next(stub.Watch(request, timeout=20))
                assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
                assert quota(details(caught.value)) == "health and reflection"
                reply = stub.Check(request, timeout=20)
                for watch in watches:
                    watch.cancel()
                return reply  # type: ignore[no-any-return]  # grpc's stub of it says Any

            reply = await trio.to_thread.run_sync(watch_all)
            assert reply.status == health_pb2.HealthCheckResponse.SERVING  # type: ignore[attr-defined]  # of health

            def watch_again() -> None:
                while True:  # the places come back a moment after the cancelling
                    try:
                        next(stub.Watch(request, timeout=20))
                    except grpc.RpcError:
                        continue
                    return

            with trio.fail_after(20):
                await trio.to_thread.run_sync(watch_again, abandon_on_cancel=True)
        assert await odds_of(Address(server.address, token="t")) == 1
