"""The chart as an image."""

from pathlib import Path

from odds_service.commands.chart_png import draw
from tests.commands.books import at, changes_of, moving, shown_by


async def test_an_image_is_drawn(tmp_path: Path) -> None:
    history = shown_by(await changes_of(moving()), "h2h", at(40))
    with (tmp_path / "chart.png").open("wb") as file:
        draw(history, file)
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")
