"""The built wheel has everything the service needs, and nothing that only tests use."""

import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.request import urlopen

import pytest

from tests.support.command_line import ENVIRONMENT
from tests.support.ports import free_port
from tests.test_imports import PACKAGE, imported, package_sources

wheel = pytest.importorskip("hatchling.builders.wheel", reason="the build backend is missing")

ROOT: Final = Path(__file__).resolve().parents[1]
PAGE: Final = ("index.html", "reference.css", "reference.js")  # of /docs


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    (path,) = wheel.WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])
    return Path(path)


@pytest.fixture(scope="module")
def packed(built: Path) -> list[PurePosixPath]:
    """Return the paths in the wheel, without its metadata."""
    paths = [PurePosixPath(name) for name in zipfile.ZipFile(built).namelist()]
    return [path for path in paths if not path.parts[0].endswith(".dist-info")]


def test_all_of_it_is_the_package(packed: list[PurePosixPath]) -> None:
    assert {path.parts[0] for path in packed} == {PACKAGE}


def test_files_that_modules_read_are_there(packed: list[PurePosixPath]) -> None:
    names = {str(path) for path in packed}
    tables = {
        str(path.relative_to(ROOT)) for path in (ROOT / PACKAGE / "sources/markets").glob("*.toml")
    }
    assert tables
    http = {"comments.json", *(f"reference/page/{name}" for name in PAGE)}
    assert tables | {f"{PACKAGE}/py.typed"} | {f"{PACKAGE}/http/{name}" for name in http} <= names


def test_files_of_the_package_that_are_no_modules_are_all_there(
    packed: list[PurePosixPath],
) -> None:
    """The board's pages and the templates of the reference among them."""
    ignored = {".py", ".pyc"}
    files = {
        str(path.relative_to(ROOT))
        for path in (ROOT / PACKAGE).rglob("*")
        if path.is_file() and path.suffix not in ignored
    }
    assert f"{PACKAGE}/http/board/index.html" in files
    assert files <= {str(path) for path in packed}


@pytest.mark.slow
def test_the_demo_runs_from_the_wheel_and_serves_its_board(built: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(built).extractall(tmp_path / "site")
    board = free_port()
    demo = ["demo", "--no-table", "--listen", "127.0.0.1:0", "--board", f"127.0.0.1:{board}"]
    with subprocess.Popen(
        [sys.executable, "-m", PACKAGE, *demo],
        cwd=tmp_path,
        env=ENVIRONMENT | {"PYTHONPATH": str(tmp_path / "site"), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            assert any("  added  " in line for line in process.stdout)
            with urlopen(f"http://127.0.0.1:{board}/") as page:
                assert b"<html" in page.read()
        finally:
            process.terminate()


def test_bookmakers_that_only_tests_simulate_are_not_there(packed: list[PurePosixPath]) -> None:
    assert not {"providers.py", "payloads.py"} & {path.name for path in packed}


def test_every_module_of_the_demo_serves_a_command(packed: list[PurePosixPath]) -> None:
    """Fakes that no command needs belong to tests/support."""
    sources = package_sources()
    known, found = set[str](), {"demo.__main__", "commands.demo", "commands.replay"}
    while found - known:
        module = (found - known).pop()
        known.add(module)
        found |= {
            name.removeprefix(f"{PACKAGE}.")
            for name in imported(module, sources)
            if name.startswith(f"{PACKAGE}.demo.")
        }
    demo = {
        f"demo.{path.stem}"
        for path in packed
        if path.parent.name == "demo" and path.stem != "__init__"
    }
    assert "demo.bookmaker" in demo
    assert demo <= known
