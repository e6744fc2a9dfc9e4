"""The built wheel has everything the service needs, and nothing that only tests use."""

import zipfile
from pathlib import Path, PurePosixPath
from typing import Final

import pytest

from tests.test_imports import PACKAGE, imported, package_sources

wheel = pytest.importorskip("hatchling.builders.wheel", reason="the build backend is missing")

ROOT: Final = Path(__file__).resolve().parents[1]
PAGE: Final = ("index.html", "reference.css", "reference.js")  # of /docs


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> list[PurePosixPath]:
    """Return the paths in the wheel, without its metadata."""
    folder = tmp_path_factory.mktemp("wheel")
    builder = wheel.WheelBuilder(str(ROOT))
    (built,) = builder.build(directory=str(folder), versions=["standard"])
    names = zipfile.ZipFile(built).namelist()
    paths = [PurePosixPath(name) for name in names]
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
