"""Access to ports: the tokens that are accepted, and the addresses that may be bound."""

import os
from pathlib import Path

import pytest
import structlog.testing
from pydantic import SecretStr

from odds_service.access import REREAD_S, Tokens, check_address, read_tokens
from odds_service.client import Address
from odds_service.config import ServerSettings
from odds_service.errors import OddsServiceError, SettingsError
from tests.support.odds_builders import serving
from tests.support.refusals import odds_of, small_book


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
    assert tokens.holder("Bearer old"), "the file is not read at every call"
    later()
    assert tokens.holder("Bearer old") is None
    assert tokens.holder("Bearer new token")
    assert tokens.holder("Bearer kept") == kept, "the client's limits stay with its token"
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


def test_tokens_are_read_from_both_places_and_a_file_without_one_is_refused(
    tmp_path: Path,
) -> None:
    file = tmp_path / "tokens"
    file.write_text("# none\n")
    with pytest.raises(OddsServiceError, match="holds no token"):
        read_tokens(ServerSettings(tokens_file=file))
    file.write_text("# two\none\n two \n\n")
    assert read_tokens(ServerSettings(tokens_file=file, tokens=[SecretStr("zero")])) == [
        "zero",
        "one",
        "two",
    ]


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


def test_loopback_is_the_default() -> None:
    assert ServerSettings().listen == "127.0.0.1:50051"


@pytest.mark.parametrize("listen", ["127.0.0.1", "127.0.0.1:", ":5", "127.0.0.1:99999", "a:b"])
def test_what_is_no_address_is_named(listen: str) -> None:
    with pytest.raises(OddsServiceError, match="is not like"):
        check_address(ServerSettings(listen=listen))


async def test_a_public_address_is_refused_before_anything_listens() -> None:
    with pytest.RaisesGroup(
        pytest.RaisesExc(
            SettingsError, match=r"without TLS or tokens: set server\.tls_certificate"
        ),
        flatten_subgroups=True,
    ):
        async with serving(small_book(), settings=ServerSettings(listen="0.0.0.0:0")):
            raise AssertionError("the server started")


async def test_a_public_address_is_served_when_told_explicitly() -> None:
    settings = ServerSettings(listen="0.0.0.0:0", insecure_public=True)
    async with serving(small_book(), settings=settings) as server:
        port = server.address.rpartition(":")[2]
        assert await odds_of(Address(f"127.0.0.1:{port}")) == 1
