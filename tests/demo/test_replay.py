"""The replay: the body of each pull, and series that cannot be replayed."""

import json
import zipfile
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from odds_service.demo.replay import Replay, run_replay
from odds_service.demo.series import Series
from odds_service.recorded_files import RecordingError
from tests.demo.serving import RECORDED, client_of, listening, needs_recorded

KEY = {"apiKey": "any"}


def recorded_event(number: int, *, sport: str = "soccer_x", price: float = 1.5) -> dict[str, Any]:
    return {
        "id": f"e{number}",
        "sport_key": sport,
        "sport_title": sport.title(),
        "commence_time": "2026-08-04T09:30:00Z",
        "home_team": "H",
        "away_team": "A",
        "bookmakers": [
            {
                "key": "b",
                "title": "B",
                "last_update": "2026-08-04T09:00:00Z",
                "markets": [
                    {
                        "key": "h2h",
                        "last_update": "2026-08-04T09:00:00Z",
                        "outcomes": [{"name": "H", "price": price}, {"name": "A", "price": 3}],
                    }
                ],
            }
        ],
    }


def write(folder: Path, **bodies: object) -> Path:
    """Write bodies named t1, t2 … as files with an odd layout, which has to survive."""
    for name, body in bodies.items():
        text = body if isinstance(body, str) else json.dumps(body, indent=3)
        path = folder / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


async def pull(client: httpx.AsyncClient, sport: str = "soccer_x") -> httpx.Response:
    return await client.get(f"/v4/sports/{sport}/odds", params=KEY)


async def status(client: httpx.AsyncClient, sport: str = "soccer_x") -> dict[str, Any]:
    answer: dict[str, dict[str, Any]] = (await client.get("/replay")).json()
    return answer[sport]


async def test_each_pull_gives_the_next_body_verbatim_and_the_last_repeats(tmp_path: Path) -> None:
    bodies = [json.dumps([recorded_event(n)], indent=n) for n in range(3)]
    write(tmp_path, t2=bodies[1], t1=bodies[0], t3=bodies[2])
    with Series(tmp_path) as series:
        async with client_of(Replay(series)) as client:
            assert await status(client) == {"position": 0, "bodies": 3, "at_end": False}
            got = []
            for _ in range(5):
                answer = await pull(client)
                got.append((answer.text, answer.headers["x-replay-body"]))
            assert await status(client) == {"position": 3, "bodies": 3, "at_end": True}
    expected = [bodies[0], bodies[1], bodies[2], bodies[2], bodies[2]]
    assert got == list(zip(expected, ["1/3", "2/3", "3/3", "3/3", "3/3"], strict=True))


async def test_head_and_errors_pull_nothing(tmp_path: Path) -> None:
    write(tmp_path, t1=[recorded_event(1)], t2=[recorded_event(2)])
    with Series(tmp_path) as series:
        async with client_of(Replay(series)) as client:
            await client.head("/v4/sports/soccer_x/odds", params=KEY)
            assert (await client.get("/v4/sports/soccer_x/odds")).status_code == 401
            assert (await pull(client, "soccer_y")).status_code == 404
            assert (await client.get("/v4/sports/soccer_x/other", params=KEY)).status_code == 404
            assert (await client.post("/v4/sports/soccer_x/odds", params=KEY)).status_code == 405
            assert (await client.get("/elsewhere", params=KEY)).status_code == 404
            assert (await status(client))["position"] == 0


async def test_a_client_that_aborts_midway_gets_the_same_body_again(tmp_path: Path) -> None:
    # Larger than the buffers of both sockets: it is not out before it is read.
    large = json.dumps([recorded_event(1)])[:-1] + " " * 2**25 + "]"
    write(tmp_path, t1=large, t2=[recorded_event(2)])
    request = b"GET /v4/sports/soccer_x/odds?apiKey=k HTTP/1.1\r\nhost: x\r\n\r\n"
    with Series(tmp_path) as series:
        async with listening(Replay(series)) as port:
            stream = await trio.open_tcp_stream("127.0.0.1", port)
            async with stream:
                await stream.send_all(request)
                assert (await stream.receive_some()).startswith(b"HTTP/1.1 200")
            async with httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30.0
            ) as client:
                assert (await status(client))["position"] == 0
                assert (await pull(client)).text == large
                assert (await pull(client)).json() == [recorded_event(2)]


async def test_two_pulls_of_one_body_at_once_advance_once(tmp_path: Path) -> None:
    write(tmp_path, **{f"t{n}": [recorded_event(n)] for n in range(1, 4)})
    barrier = trio.Event()
    got: list[str] = []
    with Series(tmp_path) as series:
        replay = Replay(series)

        async def one(client: httpx.AsyncClient) -> None:
            await barrier.wait()
            got.append((await pull(client)).headers["x-replay-body"])

        async with client_of(replay) as client:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(one, client)
                nursery.start_soon(one, client)
                barrier.set()
            position = (await status(client))["position"]
            assert position == len(set(got))  # as many as were different, whoever came first


async def test_folders_are_walked_in_name_order_each_sport_on_its_own(tmp_path: Path) -> None:
    listing = [{"key": "soccer_y", "group": "Soccer", "title": "Y League", "description": "d"}]
    write(
        tmp_path,
        **{
            "T1/soccer_x": [recorded_event(1)],
            "T1/soccer_y": [recorded_event(1, sport="soccer_y")],
            "T2/soccer_y": [],
            "T2/sports_title": listing,
            "T2/soccer_x": [recorded_event(2)],
            "T3/soccer_y": [recorded_event(3, sport="soccer_y")],
        },
    )
    archive = tmp_path / "series.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(tmp_path.rglob("*.json")):  # noqa: ASYNC240  # seven small files
            packed.write(path, path.relative_to(tmp_path))
        packed.writestr("__MACOSX/._t.json", b"\x00")
        packed.writestr("README.md", b"not a body")
    for place in (tmp_path, archive):
        with Series(place) as series:
            async with client_of(Replay(series)) as client:
                assert [(await pull(client)).json()[0]["id"] for _ in range(2)] == ["e1", "e2"]
                pulled = [(await pull(client, "soccer_y")).json() for _ in range(3)]
                assert [[event["id"] for event in body] for body in pulled] == [["e1"], [], ["e3"]]
                sports = (await client.get("/v4/sports", params=KEY)).json()
                assert [(s["key"], s["title"]) for s in sports] == [
                    ("soccer_x", "Soccer_X"),
                    ("soccer_y", "Y League"),
                ]


async def test_an_empty_body_belongs_to_the_only_sport(tmp_path: Path) -> None:
    write(tmp_path, t0=[], t1=[recorded_event(1)], t2=[], t3=[recorded_event(1)])
    with Series(tmp_path) as series:
        async with client_of(Replay(series)) as client:
            assert [len((await pull(client)).json()) for _ in range(4)] == [0, 1, 0, 1]


async def test_a_body_of_several_sports_is_upcoming(tmp_path: Path) -> None:
    write(tmp_path, t1=[recorded_event(1), recorded_event(2, sport="soccer_y")])
    with Series(tmp_path) as series:
        async with client_of(Replay(series)) as client:
            assert len((await pull(client, "upcoming")).json()) == 2


@pytest.mark.parametrize(
    ("prices", "said"),
    [
        ([-110, 150], "american"),
        ([100, 240], "american"),
        ([1.5, 2], "decimal"),
        ([1.01, 1000], "decimal"),
        ([-110, 1.5], "mixed"),
        ([-110.0, 150.0], "american"),
    ],
)
def test_the_format_of_prices_is_told(tmp_path: Path, prices: list[float], said: str) -> None:
    event = recorded_event(1)
    event["bookmakers"][0]["markets"][0]["outcomes"] = [
        {"name": str(price), "price": price} for price in prices
    ]
    write(tmp_path, t1=[event])
    with Series(tmp_path) as series:
        assert [body.odds_format for body in series.bodies["soccer_x"]] == [said]


async def test_odds_format_is_a_header_and_not_converted(tmp_path: Path) -> None:
    write(tmp_path, t1=[recorded_event(1, price=-110)])
    with Series(tmp_path) as series:
        async with client_of(Replay(series)) as client:
            answer = await client.get(
                "/v4/sports/soccer_x/odds", params={**KEY, "oddsFormat": "decimal"}
            )
    assert answer.headers["x-odds-format"] == "mixed"  # the fixture's other price is 3
    assert answer.json()[0]["bookmakers"][0]["markets"][0]["outcomes"][0]["price"] == -110


async def test_single_events_come_from_the_body_last_pulled(tmp_path: Path) -> None:
    write(
        tmp_path,
        t1=[recorded_event(1), recorded_event(2)],
        t2=[recorded_event(2, price=9.0), recorded_event(3)],
    )
    with Series(tmp_path) as series:
        async with client_of(Replay(series)) as client:

            async def one(event: str) -> httpx.Response:
                return await client.get(f"/v4/sports/soccer_x/events/{event}/odds", params=KEY)

            assert (await one("e1")).json() == recorded_event(1)
            await pull(client)
            assert (await one("e2")).json() == recorded_event(2)
            assert (await one("e3")).status_code == 404
            await pull(client)
            assert (await one("e2")).json() == recorded_event(2, price=9.0)
            some = await client.get("/v4/sports/soccer_x/odds", params={**KEY, "eventIds": "e3,e1"})
            assert some.json() == [recorded_event(3)]
            events = (await client.get("/v4/sports/soccer_x/events", params=KEY)).json()
            assert [set(event) for event in events] == [
                {"id", "sport_key", "sport_title", "commence_time", "home_team", "away_team"}
            ] * 2
            assert (await status(client))["position"] == 2


@pytest.mark.parametrize("bad", [b"\xff", rb"\ud800"])
async def test_bad_text_is_replayed_as_recorded(tmp_path: Path, bad: bytes) -> None:
    body = json.dumps([recorded_event(1), recorded_event(2)]).encode()
    body = body.replace(b'"home_team": "', b'"home_team": "' + bad, 1)
    (tmp_path / "t1.json").write_bytes(body)
    with Series(tmp_path) as series:
        async with client_of(Replay(series)) as client:
            assert (await pull(client)).content == body
            events = await client.get("/v4/sports/soccer_x/events", params=KEY)
            assert [event["id"] for event in events.json()] == ["e2"]
            second = await client.get("/v4/sports/soccer_x/events/e2/odds", params=KEY)
            assert second.json() == recorded_event(2)


@pytest.mark.parametrize("bad", [b"\xff", rb"\ud800"])
def test_bad_text_in_an_id_is_an_error_that_names_the_file(tmp_path: Path, bad: bytes) -> None:
    body = json.dumps([recorded_event(1)]).encode()
    (tmp_path / "t1.json").write_bytes(body.replace(b'"id": "', b'"id": "' + bad))
    with pytest.raises(RecordingError, match=r"t1\.json: .*not UTF-8.* at `\$\[0\]\.id`"):
        Series(tmp_path)


async def test_by_clock_the_recorded_time_decides(tmp_path: Path) -> None:
    for minute, number in ((0, 1), (5, 2), (7, 3)):
        write(tmp_path, **{f"20260804T10{minute:02}00Z__{number}x": [recorded_event(number)]})
    times = [1_000.0, 1_004.9, 1_005.0, 1_005.0, 1_006.9, 1_007.0, 2_000.0]
    remaining = iter(times)
    with Series(tmp_path) as series:
        async with client_of(Replay(series, speed=60.0, clock=lambda: next(remaining))) as client:
            seen = [(await pull(client)).json()[0]["id"] for _ in times]
            assert await status(client) == {"position": 3, "bodies": 3, "at_end": True}
    assert seen == ["e1", "e1", "e2", "e2", "e2", "e3", "e3"]


def test_by_clock_needs_times_and_a_speed(tmp_path: Path) -> None:
    with Series(write(tmp_path, t1=[recorded_event(1)])) as series:
        with pytest.raises(RecordingError, match=r"t1\.json: a replay by clock needs names like"):
            Replay(series, speed=1.0)
        with pytest.raises(ValueError, match="speed"):
            Replay(series, speed=0.0)


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ("<html>no matches</html>", r"t2\.json: not JSON"),
        ("", r"t2\.json: not JSON"),
        ('[{"id": "e1"', r"t2\.json: not JSON"),
        ('{"message": "m", "error_code": "MISSING_KEY"}', r"t2\.json: not an array of events"),
        ('[{"id": "e1"}]', r"t2\.json: not a body of The Odds API.*sport_key"),
        ("[1]", r"t2\.json: not a body of The Odds API"),
        (
            '[{"id":"1","sport_key":"s","bookmakers":[{"markets":[{"outcomes":[{"price":"x"}]}]}]}]',
            r"t2\.json: not a body of The Odds API.*price",
        ),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, body: str, wrong: str) -> None:
    write(tmp_path, t1=[recorded_event(1)], t2=body)
    with pytest.raises(RecordingError, match=wrong):
        Series(tmp_path)


def test_what_is_no_series_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="no such folder or file"):
        Series(tmp_path / "none")
    (tmp_path / "file.zip").write_bytes(b"no zip")
    with pytest.raises(RecordingError, match="neither a folder nor a readable zip"):
        Series(tmp_path / "file.zip")
    with pytest.raises(RecordingError, match="no body with events among 0"):
        Series(tmp_path)
    write(tmp_path, a=[recorded_event(1)], b=[recorded_event(1, sport="soccer_y")], c=[])
    with pytest.raises(
        RecordingError, match=r"c\.json: an empty array, and the series has 2 sports"
    ):
        Series(tmp_path)
    write(tmp_path, **{"20269904T100000Z": [recorded_event(1)]})
    with pytest.raises(RecordingError, match="holds an invalid time"):
        Series(tmp_path)


async def test_run_replay_says_what_is_wrong_before_it_listens(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="no such folder"):
        await run_replay(tmp_path / "none")


@needs_recorded
@pytest.mark.parametrize(
    ("name", "sport"),
    [
        ("kbo_inplay_20260804", "baseball_kbo"),
        ("ncaaf_offseason_transient_empty_20260224.zip", "americanfootball_ncaaf"),
        ("nfl_week1_20250910-15.zip", "americanfootball_nfl"),
        ("soccer_36_leagues_three_pulls_202408.zip", "soccer_spain_la_liga"),
    ],
)
async def test_recorded_series_go_out_byte_for_byte(name: str, sport: str) -> None:
    place = RECORDED / name
    if place.is_dir():
        bodies = [path.read_bytes() for path in sorted(place.glob("*.json"))]
    else:
        with zipfile.ZipFile(place) as packed:
            bodies = [
                packed.read(member)
                for member in sorted(packed.namelist())
                if member.endswith(".json") and (sport in member or not sport.startswith("soccer"))
            ]
    async with trio.open_nursery() as nursery:
        port = await nursery.start(run_replay, place)
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", trust_env=False
        ) as client:
            for body in bodies:
                answer = await pull(client, sport)
                assert answer.content == body
                if body != b"[]":
                    assert answer.headers["x-odds-format"] in {"american", "decimal"}
            assert (await status(client, sport))["at_end"]
        nursery.cancel_scope.cancel()
