"""The HTTP door of a whole service: its metrics, its settings, and a reload of these."""

from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from odds_service.access import check_http
from odds_service.config import HttpSettings, ServerSettings, Settings
from odds_service.errors import SettingsError
from odds_service.reloading import _live
from tests.e2e.test_life import STILL, bookmaker
from tests.support.serving import service, settings_for


@pytest.mark.parametrize(("listen", "status"), [("127.0.0.1:0", 200), ("0.0.0.0:0", 401)])
async def test_metrics_need_a_token_where_others_can_ask(
    listen: str, status: int, tmp_path: Path
) -> None:
    async with bookmaker(STILL) as (port, table):
        settings = settings_for(tmp_path, port, **table)  # type: ignore[arg-type]  # a table
        guarded = settings.server.model_copy(update={"tokens": [SecretStr("open-sesame")]})
        http = HttpSettings(listen=listen)
        settings = settings.model_copy(update={"server": guarded, "http": http})
        async with service(settings) as running, httpx.AsyncClient(timeout=30) as client:
            bound = running.server.addresses[1].rpartition(":")[2]
            base = f"http://127.0.0.1:{bound}"
            assert (await client.get(f"{base}/metrics")).status_code == status
            bearer = {"authorization": "Bearer open-sesame"}
            scraped = await client.get(f"{base}/metrics", headers=bearer)
            assert scraped.status_code == 200
            assert "odds_head_revision" in scraped.text
            assert (await client.get(f"{base}/readyz")).status_code == 200
            counted = await client.get(f"{base}/v1/status", headers=bearer)
            assert counted.json()["version"]


@pytest.mark.parametrize(
    ("listen", "server", "said"),
    [
        ("8050", ServerSettings(), r"http\.listen: '8050' is not like"),
        (
            "0.0.0.0:8050",
            ServerSettings(),
            r"http\.listen: 0\.0\.0\.0:8050 can be reached by others",
        ),
        ("0.0.0.0:8050", ServerSettings(tokens=[SecretStr("t")]), ""),
        ("127.0.0.1:8050", ServerSettings(), ""),
        ("", ServerSettings(), ""),
    ],
)
def test_a_public_address_needs_the_guards_of_the_server(
    listen: str, server: ServerSettings, said: str
) -> None:
    http = HttpSettings(listen=listen)
    if not said:
        check_http(http, server)
        return
    with pytest.raises(SettingsError, match=said):
        check_http(http, server)


def test_a_reload_does_not_take_the_guards_from_an_open_door() -> None:
    """The new address of the door would need none, but it applies after a restart only."""
    guarded = ServerSettings(listen="127.0.0.1:0", tokens=[SecretStr("t")])
    running = Settings(server=guarded, http=HttpSettings(listen="0.0.0.0:8050"))
    unguarded = ServerSettings(listen="127.0.0.1:0")
    for http in (HttpSettings(), HttpSettings(listen="127.0.0.1:8050")):
        with pytest.raises(SettingsError, match=r"http\.listen: 0\.0\.0\.0:8050 can be reached"):
            _live(Settings(server=unguarded, http=http), running)
    live, _ = _live(Settings(server=guarded, http=HttpSettings()), running)
    assert live.http == running.http


@pytest.mark.parametrize("origin", ["*", "https://desk.example.com/", "desk.example.com", "null"])
def test_an_origin_is_a_scheme_and_a_host(origin: str) -> None:
    with pytest.raises(ValueError, match="is not like https://desk"):
        HttpSettings(origins=[origin])
    for good in ("https://desk.example.com", "http://localhost:3000", "http://[::1]:80"):
        assert HttpSettings(origins=[good]).origins == [good]
