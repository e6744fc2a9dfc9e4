"""protoc's environment is made once, and a failure to make it gives one clear message."""

import subprocess
from pathlib import Path

import pytest

from tools.codegen_environment import CONSTRAINTS, codegen_python


def versions(python: Path) -> dict[str, str]:
    """Return the version of each package in an environment, by name."""
    script = (
        "from importlib.metadata import distributions\n"
        "for one in distributions(): print(one.name, one.version)"
    )
    listed = subprocess.run([python, "-c", script], capture_output=True, text=True, check=True)
    return dict(line.split() for line in listed.stdout.splitlines())


@pytest.mark.slow  # may have to make the environment
def test_the_environment_holds_what_the_constraints_list_and_nothing_else() -> None:
    lines = CONSTRAINTS.read_text("utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert versions(codegen_python()) == pins
    assert pins["protobuf"].startswith("6.")


def test_it_is_made_once(tmp_path: Path) -> None:
    nothing = tmp_path / "constraints.txt"
    nothing.write_text("# nothing\n", "utf-8")
    python = codegen_python(nothing, tmp_path / "cache")
    made_at = python.lstat().st_mtime_ns
    assert codegen_python(nothing, tmp_path / "cache") == python
    assert python.lstat().st_mtime_ns == made_at
    nothing.write_text("# other contents\n", "utf-8")
    assert codegen_python(nothing, tmp_path / "cache") != python


def test_without_a_network_the_message_says_so_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    wanted = tmp_path / "constraints.txt"
    wanted.write_text("grpcio-tools==1.81.1\n", "utf-8")
    cache = tmp_path / "cache"
    with pytest.raises(SystemExit, match=r"a network is needed once\):\nERROR: .*grpcio-tools"):
        codegen_python(wanted, cache)
    assert [path.suffix for path in cache.iterdir()] == [".lock"]
