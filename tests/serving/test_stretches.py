"""Pauses of long work on the server's loop."""

import asyncio

import pytest

from odds_service.serving.stretches import Stretches


@pytest.mark.parametrize(("stretch_s", "turns"), [(-1.0, 3), (3_600.0, 0)])
def test_others_run_once_a_stretch_is_over(
    stretch_s: float, turns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("odds_service.serving.stretches.STRETCH_S", stretch_s)
    seen = 0

    async def other() -> None:
        nonlocal seen
        while True:
            seen += 1
            await asyncio.sleep(0)

    async def work() -> int:
        task = asyncio.create_task(other())
        stretches = Stretches()
        for _ in range(3):
            await stretches.pause()
        found = seen
        task.cancel()
        return found

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        assert runner.run(work()) == turns
