"""Files, zips and times of recordings."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from odds_service.errors import OddsServiceError, SettingsError
from odds_service.importing import Recordings, recordings
from odds_service.importing.recordings import interval_s
from odds_service.recorded_files import RecordingError, recorded_at
from odds_service.sources.registry import recorded_reader, source_kinds
from tests.importing.bodies import NOON, after, event, named, series, written, zipped
from tests.support.payloads import Match, bet9ja, betpawa, sportybet

READER = recorded_reader("the-odds-api", "toa")


def keys_of(*paths: Path, kind: str = "the-odds-api") -> list[tuple[datetime, str]]:
    with Recordings(paths, recorded_reader(kind, "any")) as found:
        return [(each.at, each.key) for each in found.all]


@pytest.mark.parametrize(
    ("name", "at"),
    [
        ("20240504T120000Z__x.json", NOON),
        ("nfl-2024-05-04T12:00:00Z.json", NOON),
        ("2024-05-04T12-00-00.25Z.json", NOON + timedelta(seconds=0.25)),
        ("20240504T120000Z/soccer_epl.json", NOON),
        ("20230101T000000Z/20240504T120000Z.json", NOON),
        ("2024-05-04 12:00:00.json", None),  # no zone
        ("120240504T120000Z.json", None),
        ("epl.json", None),
    ],
)
def test_names_tell_times(name: str, at: datetime | None) -> None:
    assert recorded_at(name) == at


def test_a_time_that_does_not_exist_is_named() -> None:
    with pytest.raises(RecordingError, match=r"20241304T120000Z\.json: .*invalid time"):
        recorded_at("20241304T120000Z.json")


def test_folders_zips_and_files_are_one_series_in_order(tmp_path: Path) -> None:
    first, second, third, fourth = series(*([event()] for _ in range(4))).items()
    folder = written(tmp_path / "all", dict([second]))
    zipped(folder / "later.zip", dict([fourth]))
    single = written(tmp_path / "one", dict([first])) / first[0]
    inside = {f"deep/er/{third[0]}": third[1], "__MACOSX/x.json": b""}
    other = zipped(tmp_path / "third.zip", inside)
    assert keys_of(other, folder, single) == [
        (after(minutes=minute), "soccer_x") for minute in range(4)
    ]


def test_zips_named_by_time_have_the_time_of_their_bodies(tmp_path: Path) -> None:
    for minute in (1, 0):
        path = tmp_path / f"{after(minutes=minute):%Y%m%dT%H%M%SZ}.zip"
        zipped(path, {f"{sport}.json": json.dumps([event(sport=sport)]).encode()
                      for sport in ("soccer_b", "soccer_a")})  # fmt: skip
    assert keys_of(tmp_path) == [
        (after(minutes=minute), sport) for minute in (0, 1) for sport in ("soccer_a", "soccer_b")
    ]


def test_more_zips_than_may_be_open_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recordings, "MOST_OPEN", 2)
    before = len(os.listdir("/proc/self/fd"))
    for number in range(6):
        zipped(tmp_path / f"{number}.zip", series([event(number)], [event(number, price=2)]))
    with Recordings([tmp_path], READER) as found:
        assert len(found.all) == 12
        bodies = {found.read(each) for each in found.all}
        assert len(bodies) == 12
        assert len(os.listdir("/proc/self/fd")) <= before + 2
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_historical_answer_has_its_own_time(tmp_path: Path) -> None:
    at = "2023-10-10T12:10:39Z"
    answer = {"timestamp": at, "previous_timestamp": at, "next_timestamp": None}
    written(tmp_path, {
        named(NOON): json.dumps(answer | {"data": [event()]}).encode(),
        "whatever.json": json.dumps(answer | {"data": event(2)}).encode(),
    })  # fmt: skip
    told = datetime(2023, 10, 10, 12, 10, 39, tzinfo=UTC)
    assert sorted(keys_of(tmp_path)) == [(told, "e2"), (told, "soccer_x")]


def test_an_empty_list_belongs_to_the_pull_beside_it(tmp_path: Path) -> None:
    written(tmp_path, series([event()], [], [event()]))
    assert [key for _, key in keys_of(tmp_path)] == ["soccer_x"] * 3


def test_an_empty_list_beside_several_pulls_needs_its_name(tmp_path: Path) -> None:
    written(tmp_path, series([event()], [event(sport="soccer_y")], what="some"))
    written(tmp_path, {named(after(hours=1), "soccer_y"): b"[]"})
    assert [key for _, key in keys_of(tmp_path)] == ["soccer_x", "soccer_y", "soccer_y"]
    written(tmp_path, {named(after(hours=2), "some"): b"[]"})
    with pytest.raises(OddsServiceError, match=r"20240504T140000Z__some\.json: it shows no event"):
        keys_of(tmp_path)


def test_several_sports_in_one_body_are_the_next_events_of_all(tmp_path: Path) -> None:
    written(tmp_path, series([event(), event(2, sport="tennis_y")]))
    assert [key for _, key in keys_of(tmp_path)] == ["upcoming"]


@pytest.mark.parametrize(
    ("files", "wrong"),
    [
        ({}, r"nothing to import: there is no \.json file"),
        ({"x.json": b"[]"}, r"x\.json: neither its name nor its content has its time"),
        ({named(NOON): b"["}, r"nothing to import: .*x\.json: truncated"),
        ({named(NOON): b'{"message": "no key", "error_code": "MISSING_KEY"}'},
         r"nothing to import: .*x\.json: error_body: no key"),
        ({named(NOON): b'{"markets": []}'}, r"nothing to import: .*: wrong_shape"),
        ({"20249904T120000Z.json": b"[]"}, "invalid time"),
    ],
)  # fmt: skip
def test_what_cannot_be_imported_is_named(
    tmp_path: Path, files: dict[str, bytes], wrong: str
) -> None:
    with pytest.raises(OddsServiceError, match=wrong):
        keys_of(written(tmp_path, files))


def test_paths_that_are_no_recordings_are_named(tmp_path: Path) -> None:
    with pytest.raises(OddsServiceError, match="no such folder or file"):
        keys_of(tmp_path / "absent.zip")
    (tmp_path / "no.zip").write_bytes(b"PK nothing")
    with pytest.raises(OddsServiceError, match="neither a folder nor a readable zip"):
        keys_of(tmp_path)


def test_kinds_read_their_recordings() -> None:
    for kind in source_kinds():
        recorded_reader(kind, "any")
    with pytest.raises(SettingsError, match="unknown kind 'nobody'"):
        recorded_reader("nobody", "any")


@pytest.mark.parametrize(
    ("kind", "body", "key"),
    [
        (
            "sportybet",
            lambda match: {"bizCode": 10_000, "data": sportybet(match)},
            "sr:match:7000007",
        ),
        ("betpawa", betpawa, "6000007"),
        ("bet9ja", lambda match: {"R": "OK", "D": bet9ja(match)}, "707000007"),
    ],
)  # fmt: skip
def test_bodies_of_one_event_have_its_id(tmp_path: Path, kind: str, body: object, key: str) -> None:
    match = Match(number=7_000_007, home="Reds", away="Blues", start=after(hours=3))
    content = json.dumps(body(match)).encode()  # type: ignore[operator]  # one of the functions above
    written(tmp_path, {named(NOON): content})
    assert keys_of(tmp_path, kind=kind) == [(NOON, key)]


def test_the_interval_is_the_median_gap_of_one_pull(tmp_path: Path) -> None:
    written(tmp_path, series(*([event()] for _ in range(5)), every_s=300))
    written(
        tmp_path, series(*([event(2, sport="soccer_y")] for _ in range(5)), every_s=300, what="y")
    )
    written(tmp_path, {named(after(days=2)): json.dumps([event()]).encode()})
    with Recordings([tmp_path], READER) as found:
        assert interval_s(found.all) == 300
        assert interval_s(found.all[:1]) == 60
