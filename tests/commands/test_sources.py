"""`odds-service sources check`: its report on files, and its exit code."""

import json
from pathlib import Path

from typer.testing import CliRunner

from odds_service.cli import app
from tests.sources.bodies import (
    bet9ja,
    betpawa,
    betpawa_market,
    sportybet,
    sportybet_market,
)

H2H = {"1": "2.40", "2": "3.30", "3": "2.95"}


def check(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["sources", "check", *arguments], catch_exceptions=False)
    return result.exit_code, result.stdout


def write(folder: Path, **bodies: bytes) -> list[str]:
    files = []
    for name, body in bodies.items():
        file = folder / f"{name}.json"
        file.write_bytes(body)
        files.append(str(file))
    return files


def test_the_share_the_unmapped_and_the_problems(tmp_path: Path) -> None:
    market = sportybet_market("29", {"74": "1.9", "76": "x"})
    unknown = sportybet_market("999999", {"1": "2.0"})
    (file,) = write(tmp_path, sporty=sportybet(sportybet_market("1", H2H), market, unknown))
    code, said = check(file)
    assert code == 0
    assert "sportybet, Reds FC – Blues FC: 2 of 3 markets mapped (66.7%), 2 canonical" in said
    assert "unmapped 1 × Market 999999 (999999)" in said
    assert "problem 1 × bad_price" in said
    assert "0 disagreements" in said


def test_bookmakers_of_one_match_are_compared(tmp_path: Path) -> None:
    files = write(
        tmp_path,
        sporty=sportybet(sportybet_market("1", {"1": "1.50", "2": "4.00", "3": "7.00"})),
        pawa=betpawa(betpawa_market("3743", {"1": 7.0, "X": 4.0, "2": 1.5})),
        nine=bet9ja({"S_1X2_1": "1.5", "S_1X2_X": "4", "S_1X2_2": "6.8"}),
    )
    code, said = check(*files)
    assert code == 0
    assert "distance: h2h, sportybet, betpawa: " in said
    assert "distance: h2h, betpawa, bet9ja: " in said
    assert "h2h, sportybet, bet9ja" not in said
    other = write(tmp_path, pawa=betpawa(betpawa_market("3743", {"1": 9.0, "X": 9.0}), widgets=[]))
    assert "0 disagreements" in check(files[0], *other)[1]  # no id says that it is the same match


def test_a_file_that_cannot_be_read_is_named_and_fails_the_check(tmp_path: Path) -> None:
    good, broken, strange, refused = write(
        tmp_path,
        good=sportybet(sportybet_market("1", H2H)),
        broken=b'{"bizCode": ',
        strange=b'{"hello": 1}',
        refused=b'{"R": "E"}',
    )
    code, said = check(good, broken, strange, refused, str(tmp_path / "absent.json"), str(tmp_path))
    assert code == 1
    assert "1 of 1 market mapped (100.0%)" in said
    for name, kind in (
        ("broken", "truncated"),
        ("strange", "unknown_provider"),
        ("refused", "unknown_event"),
        ("absent", "unreadable"),
        (tmp_path.name, "unreadable"),
    ):
        assert any(name in line and f": {kind}: " in line for line in said.splitlines()), said


def test_json(tmp_path: Path) -> None:
    good, bad = write(tmp_path, good=sportybet(sportybet_market("1", H2H)), bad=b"[1]")
    code, said = check("--json", good, bad)
    report = json.loads(said)
    assert code == 1
    assert report["disagreements"] == []
    assert report["files"] == [
        {
            "file": good, "provider": "sportybet", "event": "sr:match:123", "sport": "soccer",
            "markets": 1, "mapped": 1, "share": 1.0, "canonical_markets": 1, "unmapped": {},
            "problems": {},
        },
        {
            "file": bad, "error": "unknown_provider",
            "reason": "not an event of sportybet, betpawa, bet9ja",
        },
    ]  # fmt: skip
