"""Limits per client and for all, filters that are malformed, and addresses that are refused."""

from pathlib import Path

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from pydantic import SecretStr

from odds_service.access import check_address, read_tokens
from odds_service.config import ServerSettings
from odds_service.errors import (
    NotDurableYet,
    OddsServiceError,
    SourceError,
    StorageError,
    StorageUnavailable,
    UnknownEvent,
)
from odds_service.filters.selection import EVERYTHING
from odds_service.rpc.auth import credentials, peer_host
from odds_service.rpc.errors import Refused, as_refusal
from odds_service.rpc.limits import ClientLimits
from odds_service.rpc.selection import selection
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb

LIMITS = ServerSettings(
    max_streams=3, max_streams_per_client=2, max_requests_per_s=4, max_refreshes=1
)


def test_requests_are_refused_past_one_second_s_worth_and_let_in_again_with_time() -> None:
    now = [0.0]
    limits = ClientLimits(LIMITS, lambda: now[0])
    for _ in range(4):
        limits.request("a")
    with pytest.raises(Refused) as refused:
        limits.request("a")
    assert refused.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    (retry,) = [detail for detail in refused.value.details if isinstance(detail, RetryInfo)]
    assert retry.retry_delay.ToTimedelta().total_seconds() == pytest.approx(0.25)
    limits.request("b")
    now[0] += 0.25
    limits.request("a")
    with pytest.raises(Refused):
        limits.request("a")


def test_streams_are_limited_per_client_and_in_all_and_given_back() -> None:
    limits = ClientLimits(LIMITS)
    with limits.stream("a"), limits.stream("a"):
        with pytest.raises(Refused, match="this client has 2 streams"), limits.stream("a"):
            pass
        with limits.stream("b"):
            with pytest.raises(Refused, match="all 3 streams"), limits.stream("c"):
                pass
    assert limits.streams == 0
    with limits.refresh():
        with pytest.raises(Refused, match="all 1 concurrent refreshes"), limits.refresh():
            pass
    assert limits.refreshes == 0


def bad_filter(field: str) -> pb.Filter:
    request = pb.Filter()
    if field == "start_to":
        request.start_from.seconds, request.start_to.seconds = 10, 10
    elif field == "start_from":
        request.start_from.nanos = -1
    elif field == "event_ids":
        request.event_ids.extend(str(number) for number in range(10_001))
    elif field == "markets":
        request.markets.append("m" * 257)
    else:
        request.bookmakers.extend(["pinnacle", ""])
    return request


@pytest.mark.parametrize("field", ["start_to", "start_from", "event_ids", "markets", "bookmakers"])
def test_a_malformed_filter_names_its_field(field: str) -> None:
    with pytest.raises(Refused) as refused:
        selection(bad_filter(field))
    assert refused.value.code is grpc.StatusCode.INVALID_ARGUMENT
    (detail,) = refused.value.details
    assert isinstance(detail, BadRequest)
    assert detail.field_violations[0].field == f"filter.{field}"


def test_an_empty_filter_selects_everything_and_unknown_values_nothing_wrong() -> None:
    assert selection(pb.Filter()) is EVERYTHING
    assert selection(pb.Filter(sports=["quidditch"])).sports == frozenset({"quidditch"})


@pytest.mark.logs_errors
@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UnknownEvent("x"), grpc.StatusCode.NOT_FOUND),
        (NotDurableYet("e1", 7), grpc.StatusCode.UNAVAILABLE),
        (StorageUnavailable("password=secret"), grpc.StatusCode.UNAVAILABLE),
        (StorageError("/srv/secret.db"), grpc.StatusCode.INTERNAL),
        (SourceError("quota", "used up"), grpc.StatusCode.UNAVAILABLE),
        (OddsServiceError("x"), grpc.StatusCode.FAILED_PRECONDITION),
        (ConnectionAbortedError(), grpc.StatusCode.UNAVAILABLE),
        (ZeroDivisionError("secret"), grpc.StatusCode.INTERNAL),
    ],
)
def test_errors_have_their_codes_and_no_library_s_words(
    error: Exception, code: grpc.StatusCode
) -> None:
    refusal = as_refusal(error)
    assert refusal.code is code
    assert refusal.details
    assert "secret" not in str(refusal)


@pytest.mark.parametrize(
    "listen", ["0.0.0.0:1", "[::]:1", "odds.example:1", "192.168.1.2:1"]
)  # refused, not bound
def test_a_public_address_needs_tls_or_tokens_or_a_word(listen: str, tmp_path: Path) -> None:
    with pytest.raises(OddsServiceError, match=r"server\.tokens"):
        check_address(ServerSettings(listen=listen))
    check_address(ServerSettings(listen=listen, tokens=[SecretStr("t")]))
    check_address(ServerSettings(listen=listen, insecure_public=True))
    check_address(ServerSettings(listen=listen, tls_certificate=tmp_path, tls_key=tmp_path))


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "[::1]:5", "localhost:5"])
def test_loopback_is_let_pass(listen: str) -> None:
    check_address(ServerSettings(listen=listen))


@pytest.mark.parametrize("listen", ["127.0.0.1", "127.0.0.1:", ":5", "127.0.0.1:99999", "a:b"])
def test_what_is_no_address_is_named(listen: str) -> None:
    with pytest.raises(OddsServiceError, match="is not like"):
        check_address(ServerSettings(listen=listen))


def test_settings_files_that_are_wrong_are_named(tmp_path: Path) -> None:
    empty = tmp_path / "tokens"
    empty.write_text("# none\n")
    with pytest.raises(OddsServiceError, match="holds no token"):
        read_tokens(ServerSettings(tokens_file=empty))
    empty.write_text("# two\none\n two \n\n")
    assert read_tokens(ServerSettings(tokens_file=empty, tokens=[SecretStr("zero")])) == [
        "zero",
        "one",
        "two",
    ]
    with pytest.raises(OddsServiceError, match="must both be set"):
        credentials(ServerSettings(tls_certificate=empty))
    with pytest.raises(OddsServiceError, match="not a PEM"):
        credentials(ServerSettings(tls_certificate=empty, tls_key=empty))
    with pytest.raises(OddsServiceError, match="cannot be read"):
        credentials(ServerSettings(tls_certificate=tmp_path / "no", tls_key=empty))


def test_a_client_is_its_host_whatever_the_port() -> None:
    assert peer_host("ipv4:127.0.0.1:50123") == peer_host("ipv4:127.0.0.1:50124")
    assert peer_host("ipv6:%5B::1%5D:50051") != peer_host("ipv6:%5B::2%5D:50051")
