"""Run tests on the Python versions of other Debian releases: `python -m tools.pythons`.

debootstrap makes each release in its own folder. The checkout is copied in and installed in a
virtual environment with the pinned versions; then the fast tests run, and the contract tests of the
store on both databases. It needs root, debootstrap and unshare, but no daemon and no container.

Every command runs in its own mount and process namespaces, which end with the command or at its
time limit, so a folder is safe to remove.

Without `--cache` everything is made in a temporary folder and removed. With it, the releases and
pip's downloads stay in that folder for the next run; remove a release's folder to renew it.
Property tests have few examples there: what may differ is the interpreter, and not the property.
One process runs them, since each would import everything anew; `.ci/run` has other work beside it.
"""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer

ROOT: Final = Path(__file__).resolve().parent.parent
CACHE_VARIABLE: Final = "ODDS_PYTHONS_CACHE"
RELEASES: Final = ("trixie", "sid")  # Python 3.13, and 3.14 in November 2026
PACKAGES: Final = ("ca-certificates", "make", "python3", "python3-venv")
CERTIFICATES: Final = "etc/ssl/certs/ca-certificates.crt"

# The caller's variables for reaching the package index; none that names the caller's own files.
PASSED_ON: Final = ("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "PIP_DEFAULT_TIMEOUT", "PIP_INDEX_URL")

# By name: the command of a step, run in /checkout inside the release, and its limit in seconds.
STEPS: Final[dict[str, tuple[list[str], float]]] = {
    "install": (["make", "VENV=/venv", "/venv/.for-dev"], 900),
    # The limits end what hangs, on a machine that may be four times too busy.
    "fast tests": (
        ["make", "VENV=/venv", "test-fast", "ARGS=-n 0 --hypothesis-profile=few"],
        1_800,
    ),
    "both databases": (
        ["/venv/bin/python", "-m", "pytest", "-q", "tests/storage/test_contract.py"],
        1_200,
    ),
}
DEBOOTSTRAP_S: Final = 900.0


class StepError(Exception):
    """A step failed or took too long; its output has been shown."""


class Release:
    """A release of Debian in a folder, and the checkout inside it."""

    def __init__(self, name: str, folder: Path, log: Path) -> None:
        self.name = name
        self.folder = folder
        self._log = log

    def make(self) -> None:
        """Install the release into its folder, unless the folder exists."""
        if self.folder.exists():
            return
        begun = self.folder.with_name(f"{self.name}.part")
        shutil.rmtree(begun, ignore_errors=True)
        include = f"--include={','.join(PACKAGES)}"
        command = ["debootstrap", "--variant=minbase", include, self.name, str(begun)]
        self._run("debootstrap", ["unshare", "--mount", *_CONTAINED, *command], DEBOOTSTRAP_S)
        begun.rename(self.folder)

    def test(self) -> None:
        """Copy the checkout in, install it and run its tests.

        Raises:
            StepError: If a step fails or takes too long.
        """
        self._copy_host_files()
        try:
            _copy_checkout(self.folder / "checkout")
            print(f"{self.name}: {self._inside('version', ['python3', '--version'], 60)}")
            for step, (command, limit_s) in STEPS.items():
                began = time.monotonic()
                last = self._inside(step, command, limit_s)
                result = last if "passed" in last else "done"
                print(f"{self.name}: {step}: {result}, {time.monotonic() - began:.0f} s in all")
        finally:
            for made in ("checkout", "venv"):
                shutil.rmtree(self.folder / made, ignore_errors=True)

    def _copy_host_files(self) -> None:
        """Copy this machine's name servers and certificates into the release."""
        shutil.copy("/etc/resolv.conf", self.folder / "etc/resolv.conf")
        certificates = os.environ.get("SSL_CERT_FILE", f"/{CERTIFICATES}")
        if Path(certificates).exists():
            shutil.copy(certificates, self.folder / CERTIFICATES)

    def _inside(self, step: str, command: list[str], limit_s: float) -> str:
        """Run a command in the release, with /proc and an empty /dev/shm; return its last line."""
        entering = (
            'mkdir -p "$0/dev/shm" && mount -t tmpfs tmpfs "$0/dev/shm" && '
            'exec chroot "$0" env -C /checkout "$@"'
        )
        enter = [
            "unshare", "--mount", *_CONTAINED, f"--mount-proc={self.folder}/proc", "--",
            "sh", "-c", entering, str(self.folder), *command,
        ]  # fmt: skip
        return self._run(step, enter, limit_s, _environment(os.environ))

    def _run(
        self, step: str, command: list[str], limit_s: float, env: Mapping[str, str] | None = None
    ) -> str:
        """Run a command and return the last line of its output; print all of it on failure."""
        with self._log.open("w+", encoding="utf-8", errors="replace") as log:
            try:
                code: int | str = subprocess.run(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                    timeout=limit_s, check=False, env=env,
                ).returncode  # fmt: skip
            except subprocess.TimeoutExpired:
                code = f"killed after {limit_s:.0f} s"
            log.seek(0)
            output = log.read().rstrip()
        if code != 0:
            print(output)
            raise StepError(f"{self.name}: {step} failed ({code})")
        return output.rpartition("\n")[2]


# When unshare dies, so does the first process of the namespace, and with it all others.
_CONTAINED: Final = ("--pid", "--fork", "--kill-child")


def _environment(caller: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a command inside a release."""
    passed = {name: caller[name] for name in PASSED_ON if name in caller}
    fixed = {
        "HOME": "/root",  # pip's downloads stay in a cached release
        "LANG": "C.UTF-8",
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "PIP_CERT": f"/{CERTIFICATES}",
        "PIP_NO_COMPILE": "1",  # most of what is installed is never imported
    }
    return passed | fixed


def _copy_checkout(to: Path) -> None:
    """Copy the files of the work tree that git tracks or would track."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True,
    ).stdout.decode()  # fmt: skip
    shutil.rmtree(to, ignore_errors=True)
    to.mkdir()
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, to / name)


@contextmanager
def _releases_folder(cache: Path | None) -> Iterator[Path]:
    """Yield the cache folder, locked against other runs, or else a temporary folder."""
    if cache is None:
        with tempfile.TemporaryDirectory(prefix="odds-pythons-") as folder:
            yield Path(folder)
        return
    if cache.resolve().is_relative_to(ROOT):
        raise typer.BadParameter("the cache must lie outside the checkout")
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield cache


def missing() -> str:
    """Return the reason why this machine cannot make a release, or an empty string."""
    if os.geteuid() != 0:
        return "tools.pythons needs root: it makes a root folder of Debian and enters it"
    lacking = [
        program for program in ("debootstrap", "git", "unshare") if not shutil.which(program)
    ]
    return f"tools.pythons needs {', '.join(lacking)}: apt-get install them" if lacking else ""


def main(
    releases: Annotated[list[str] | None, typer.Argument(help="All unless named.")] = None,
    cache: Annotated[
        Path | None,
        typer.Option(envvar=CACHE_VARIABLE, help="A folder that keeps releases and downloads."),
    ] = None,
) -> None:
    """Run the fast tests and the store's contract tests on other releases of Debian."""
    reason = missing()
    if reason:
        print(reason, file=sys.stderr)
        raise typer.Exit(2)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that `finally` cleans up
    with _releases_folder(cache) as folder:
        for name in releases or RELEASES:
            try:
                release = Release(name, folder / name, folder / "log")
                release.make()
                release.test()
            except StepError as error:
                print(error, file=sys.stderr)
                raise typer.Exit(1) from None


if __name__ == "__main__":
    typer.run(main)
