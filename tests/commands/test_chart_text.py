"""The chart in the terminal."""

from odds_service.commands.chart_text import chart_lines
from odds_service.commands.output import styled
from odds_service.commands.times import Times
from tests.commands.books import at, changes_of, moving, shown_by


async def test_the_terminal_shows_steps_gaps_and_times() -> None:
    history = shown_by(await changes_of(moving()), "h2h", at(40))
    text = [styled(*line).plain for line in chart_lines(history, 50, Times("UTC"))]
    assert max(map(len, text)) <= 50
    home = text[text.index("home") + 1 : text.index("home") + 13]
    assert home[0].startswith("   2.40 ┤")
    assert home[0].rstrip().endswith("aaaaaaaaaa")
    assert home[-1].strip().startswith("2.00 ┤aaaaaaaaaa")
    columns = [line[9:].ljust(40) for line in home]
    suspended = {line[25] for line in columns}
    assert suspended == {" ", "b"}
    assert all(sum(line[column] == "b" for line in columns) == 1 for column in (0, 5, 15, 25, 39))
    assert text[-2:] == ["a b1   b b2", "* several   blank: suspended or not offered"]
    assert text[0] == "Reds – Blues · h2h · times in UTC"
    assert any("12:00:00" in line for line in text)
