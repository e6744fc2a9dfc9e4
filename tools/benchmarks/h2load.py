"""An outside load generator for unary gRPC calls: h2load, which speaks plain HTTP/2."""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

_FRAME_BYTES: Final = 5  # before each gRPC message: whether it is compressed, and its length
LONGEST_S: Final = 10.0  # after this long without an answer, none will come
_MISSING: Final = (
    "`h2load` is not on the path; it comes with nghttp2: apt-get install nghttp2-client (Debian,"
    " Ubuntu), dnf install nghttp2 (Fedora), brew install nghttp2 (macOS)"
)


class Calls(Struct, frozen=True):
    """The result of one run: calls answered per second, and each call's latency in ms."""

    per_s: float
    took_ms: Sequence[float]

    def percentile(self, share: float) -> float:
        """Return a percentile; 0.5 is the median. Raises ValueError if no call was answered."""
        if not self.took_ms:
            raise ValueError("no call was answered")
        ordered = sorted(self.took_ms)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def need_h2load() -> None:
    """Check that h2load is installed. Raises SystemExit with advice if it is not."""
    if shutil.which("h2load") is None:
        raise SystemExit(_MISSING)


def call(
    url: str,
    request: bytes,
    reply_bytes: int,
    *,
    seconds: float,
    callers: int,
) -> Calls:
    """Run concurrent callers for a time, each making one call after another.

    (Not at a pace: with one, h2load 1.52 stops calling when an answer comes late, and never ends.)
    Raises RuntimeError when calls failed or were answered with less than `reply_bytes`.
    """
    with tempfile.TemporaryDirectory() as folder:
        body, log = Path(folder) / "request", Path(folder) / "log"
        body.write_bytes(b"\0" + len(request).to_bytes(4, "big") + request)
        command = [
            "h2load", f"--duration={round(seconds * 1000)}ms", f"--clients={callers}",
            "--max-concurrent-streams=1", "--threads=1",
            "--header=content-type: application/grpc", "--header=te: trailers",
            f"--data={body}", f"--log-file={log}", url,
        ]  # fmt: skip
        ran = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=seconds + 60
        )
        if ran.returncode != 0:
            raise RuntimeError(f"h2load: {ran.stderr or ran.stdout}")
        took_ms = [int(line.split()[2]) / 1000 for line in log.read_text().splitlines()]
    if not took_ms and seconds < LONGEST_S:
        # On a busy machine, connecting alone may take this long.
        return call(url, request, reply_bytes, seconds=4 * seconds, callers=callers)
    # A call that gRPC refuses is a 200 without a body; only its size shows it.
    received = int(_found(r"\((\d+)\) data", ran.stdout))
    failed = int(_found(r"(\d+) failed", ran.stdout))
    # The odds move meanwhile, and the lengths of their numbers change.
    if failed or received < 0.9 * len(took_ms) * (reply_bytes + _FRAME_BYTES):
        raise RuntimeError(
            f"{len(took_ms)} calls of {url}, {failed} failed, {received} bytes came;"
            f" {reply_bytes} were due in each"
        )
    return Calls(len(took_ms) / seconds, took_ms)


def _found(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    if found is None:
        raise RuntimeError(f"h2load said something unknown: {text}")
    return found[1]
