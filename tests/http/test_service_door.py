"""The HTTP door of a whole service: its metrics, its settings, and a reload of these."""

from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from odds_service.access import check_http
from odds_service.config import HttpSettings, ServerSettings
from odds_service.errors import SettingsError
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
