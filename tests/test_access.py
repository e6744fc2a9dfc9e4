"""Access to ports: the tokens that are accepted, and the addresses that may be bound."""

import json
import os
from pathlib import Path

import pytest
import structlog.testing
from pydantic import SecretStr, ValidationError

from odds_service.access import REREAD_S, Tokens, check_address, read_tokens
from odds_service.client import Address
from odds_service.config import AccessSettings, Right, ServerSettings, load_settings
from odds_service.errors import OddsServiceError, SettingsError
from odds_service.model.restriction import Restriction
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
    file.write_text("new-token\nkept\n")
    os.utime(file, (1, 1))  # also where a clock is coarse
    assert tokens.holder("Bearer old"), "the file is not read at every call"
    later()
    assert tokens.holder("Bearer old") is None
    assert tokens.holder("Bearer new-token")
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


def test_a_tokens_file_may_have_indented_comments_and_a_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_bytes("\ufefffirst\r\n\n  # for whom\n\t# and why\n  second  \n".encode())
    assert read_tokens(ServerSettings(tokens_file=file)) == ["first", "second"]
    tokens = Tokens(ServerSettings(tokens_file=file))
    assert tokens.holder("Bearer first")
    assert tokens.holder("Bearer \ufefffirst") is None
    assert tokens.holder("Bearer # for whom") is None


@pytest.mark.parametrize("line", ["token-with # a comment", "two tokens", "a\ufeffmark\u200b"])
def test_a_line_with_more_than_a_token_is_refused_by_its_number(tmp_path: Path, line: str) -> None:
    file = tmp_path / "tokens"
    file.write_text(f"# comment\n\ngood\n{line}\n")
    with pytest.raises(SettingsError) as caught:
        Tokens(ServerSettings(tokens_file=file))
    assert "line 4" in str(caught.value)
    assert line.split()[0] not in str(caught.value)


def test_named_tokens_have_the_access_of_their_table(tmp_path: Path) -> None:
    file = tmp_path / "theirs"
    file.write_text("# theirs\nthe-token-in-a-file\n")
    settings = ServerSettings(
        tokens=[SecretStr("a-plain-token")],
        access=[
            AccessSettings(name="ops", token=SecretStr("token-of-ops"), rights=[Right.ADMIN]),
            AccessSettings(name="acme", token_file=file, sources=["s"], bookmakers=["b"]),
        ],
    )
    tokens = Tokens(settings)
    plain, ops, acme = (
        tokens.grant(f"Bearer {token}")
        for token in ("a-plain-token", "token-of-ops", "the-token-in-a-file")
    )
    assert plain is not None
    assert ops is not None
    assert acme is not None
    assert (plain.name, set(plain.rights)) == ("plain", {Right.READ, Right.REFRESH})
    assert (ops.name, set(ops.rights), ops.admin) == ("ops", {Right.ADMIN}, True)
    assert (acme.name, set(acme.rights)) == ("acme", {Right.READ})
    assert acme.restriction == Restriction(frozenset({"s"}), frozenset({"b"}))
    assert tokens.grant("Bearer another") is None
    assert "token-of-ops" not in repr(settings)

    replaced = Tokens(ServerSettings(tokens=[SecretStr("the-only-one")]))
    before = tokens.version
    tokens.adopt(replaced)
    assert tokens.version > before
    assert tokens.grant("Bearer a-plain-token") is None
    assert tokens.present(acme.client) is None
    assert tokens.grant("Bearer the-only-one")


@pytest.mark.parametrize(
    ("access", "says"),
    [
        ([{"name": "a"}], "exactly one of token and token_file"),
        ([{"name": "a", "token": "t", "token_file": "f"}], "exactly one of token and token_file"),
        ([{"name": "plain", "token": "t"}], "stands for callers without a name"),
        ([{"name": "a b", "token": "t"}], "name"),
        ([{"name": "a", "token": "t", "rights": []}], "rights"),
        ([{"name": "a", "token": "t", "rights": ["write"]}], "rights"),
        ([{"name": "a", "token": "t", "sources": []}], "sources"),
        ([{"name": "a", "token": "t1"}, {"name": "a", "token": "t2"}], "two entries are named a"),
    ],
)
def test_wrong_tables_of_access_are_refused(
    access: list[dict[str, object]], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValidationError, match=says):
        ServerSettings.model_validate({"access": access})
    monkeypatch.setenv("ODDS_SERVER__ACCESS", json.dumps(access))
    with pytest.raises(SettingsError, match="ODDS_SERVER__ACCESS"):
        load_settings()


@pytest.mark.parametrize(
    ("access", "says"),
    [
        ([AccessSettings(name="a", token=SecretStr(" "))], "token is empty"),
        (
            [
                AccessSettings(name="a", token=SecretStr("the-same-token")),
                AccessSettings(name="b", token=SecretStr("the-same-token")),
            ],
            r"access \(b\): a has this token",
        ),
        ([AccessSettings(name="a", token_file=Path("no-such-file"))], "no-such-file"),
    ],
)
def test_named_tokens_that_cannot_be_used_are_refused(
    access: list[AccessSettings], says: str
) -> None:
    with pytest.raises(SettingsError, match=says) as caught:
        check_address(ServerSettings(access=access, listen="0.0.0.0:1"))
    assert "the-same-token" not in str(caught.value)
