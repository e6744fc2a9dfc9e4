"""A source behind a proxy, over real HTTP."""

from typing import Any

import pytest
from pydantic import SecretStr

from odds_service.config import load_settings
from odds_service.errors import SettingsError, SourceError
from odds_service.secrets import redact
from odds_service.sources.http import HttpSettings, open_http
from odds_service.sources.the_odds_api import TheOddsApi
from tests.sources.serving import Scripted, json_of, listening
from tests.support.http_proxy import proxying

LOGIN = "operator:pass-word-of-the-proxy"


def through(proxy_url: str, login: str = "") -> HttpSettings:
    url = proxy_url.replace("://", f"://{login}@") if login else proxy_url
    return HttpSettings(attempts=1, proxy=SecretStr(url))


async def test_all_requests_of_a_source_go_through_its_proxy() -> None:
    app = Scripted(json_of([]))
    async with listening(app) as url, proxying() as proxy:
        table: dict[str, Any] = {"url": url, "api_key": "secret-key", "sports": ["x"]}
        table["http"] = {"proxy": proxy.url}
        async with TheOddsApi.open("toa", table) as source:
            await source.fetch_event("e1", "x")
        async with open_http(url, HttpSettings(attempts=1)) as direct:
            await direct.get("/direct", {})
    paths = [request.url.path for request in app.requests]
    assert paths == ["/v4/sports/x/events/e1/odds", "/direct"]
    (line,) = proxy.seen
    assert line.startswith(f"GET {url}/v4/sports/x/events/e1/odds?")


async def test_a_proxy_that_wants_a_login() -> None:
    app = Scripted(json_of([1]))
    async with listening(app) as url, proxying(LOGIN) as proxy:
        async with open_http(url, through(proxy.url, LOGIN)) as http:
            assert (await http.get("/odds", {})).body == b"[1]"
        async with open_http(url, through(proxy.url)) as stranger:
            assert (await stranger.get("/odds", {})).status == 407
    assert len(app.requests) == 1
    assert not any(name == "proxy-authorization" for name in app.requests[0].headers)


async def test_https_is_tunnelled_and_not_read_by_the_proxy() -> None:
    app = Scripted(json_of([]))
    async with listening(app) as url, proxying(LOGIN) as proxy:
        target = url.removeprefix("http://")
        async with open_http(f"https://{target}", through(proxy.url, LOGIN)) as http:
            with pytest.raises(SourceError) as caught:  # the server speaks no TLS
                await http.get("/odds", {"apiKey": "very-secret"})
            assert caught.value.kind == "connection"
        assert proxy.seen == [f"CONNECT {target} HTTP/1.1"]
        async with open_http(f"https://{target}", through(proxy.url, "a:b")) as stranger:
            with pytest.raises(SourceError) as caught:
                await stranger.get("/odds", {})
    assert caught.value.kind == "connection"
    assert "407" in str(caught.value)
    assert not app.requests


async def test_a_proxy_that_is_away_is_a_failed_connection() -> None:
    async with proxying() as proxy:
        settings = through(proxy.url, LOGIN)
    async with listening(Scripted(json_of([]))) as url, open_http(url, settings) as http:
        with pytest.raises(SourceError) as caught:
            await http.get("/odds", {})
    assert caught.value.kind == "connection"
    assert "pass-word" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("proxy:3128", "http.proxy"),
        ("ftp://proxy:3128", "'ftp' is not http, https or socks5"),
        (f"http://{LOGIN}@proxy:99999", "not of the form"),
        (f"http://{LOGIN}@", "not of the form"),
        ("http://proxy/path", "not of the form"),
    ],
)
async def test_a_wrong_proxy_is_named_at_the_start_without_its_password(
    url: str, says: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        async with open_http("http://127.0.0.1:1", HttpSettings(proxy=SecretStr(url))):
            pass
    assert says in str(caught.value)
    assert "pass-word" not in str(caught.value)


def test_the_password_of_a_proxy_is_hidden(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = "http://operator:another-pass-word@proxy:3128"
    table = f'[{{"kind": "the-odds-api", "sports": ["x"], "http": {{"proxy": "{url}"}}}}]'
    monkeypatch.setenv("ODDS_SOURCES", table)
    load_settings()
    assert "another-pass-word" not in redact("it said another-pass-word")
    assert "another-pass-word" not in repr(HttpSettings(proxy=SecretStr(url)))
