"""Keys in files, read again when the file changes."""

from pathlib import Path

import pytest
import structlog

from odds_service.errors import SettingsError
from odds_service.secrets import redact
from odds_service.sources.key_file import LOOK_S, KeyFile


async def test_a_changed_file_gives_the_new_key_and_hides_it(tmp_path: Path) -> None:
    file, now = tmp_path / "key", 0.0
    file.write_text("first-secret-key\n")
    key = KeyFile(file, "toa", lambda: now)
    assert await key.current() == "first-secret-key"
    file.write_text("second-secret-key\n")
    assert await key.current() == "first-secret-key"  # not looked at again yet
    now = LOOK_S
    assert await key.current() == "second-secret-key"
    assert "second-secret-key" not in redact("with second-secret-key in it")


@pytest.mark.parametrize("spoilt", [b"", b"\n", b"\xff\xfe\xff", None])
async def test_an_unusable_file_leaves_the_key_and_is_told_once(
    tmp_path: Path, spoilt: bytes | None
) -> None:
    file, now = tmp_path / "key", 0.0
    file.write_text("first-secret-key")
    key = KeyFile(file, "toa", lambda: now)
    if spoilt is None:
        file.unlink()
    else:
        file.write_bytes(spoilt)
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            now += LOOK_S
            assert await key.current() == "first-secret-key"
    (told,) = logs
    assert (told["event"], told["source"]) == ("key_not_read_again", "toa")
    assert str(file) in told["reason"]
    file.write_text("third-secret-key")
    now += LOOK_S
    assert await key.current() == "third-secret-key"
    with pytest.raises(SettingsError, match="api_key_file"):
        KeyFile(tmp_path / "absent", "toa")
