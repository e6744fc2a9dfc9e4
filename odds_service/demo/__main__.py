"""The simulated bookmaker as a separate process, for benchmarks and experiments.

Once it listens, it prints a line of JSON, ``{"port": N, "sports": […], "markets": […]}``. It serves
until SIGTERM or ^C.
"""

import gc
import signal
import sys
from functools import partial
from typing import Annotated, Literal

import msgspec
import trio
import typer
from starlette.routing import request_response

from odds_service.asgi import serve_app
from odds_service.demo.bookmaker import SimulatedBookmaker
from odds_service.demo.settings import SimulationSettings

_DEFAULT = SimulationSettings()


def simulate(
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0: any free port.")] = 0,
    gzip: Annotated[bool, typer.Option(help="Compress for clients that accept it.")] = False,
    seed: Annotated[int, typer.Option(help="Same seed, same odds.")] = _DEFAULT.seed,
    sports: Annotated[int, typer.Option(help="Number of sports.")] = _DEFAULT.sports,
    events: Annotated[int, typer.Option(help="Events, over all sports.")] = _DEFAULT.events,
    bookmakers: Annotated[int, typer.Option(help="Number of bookmakers.")] = _DEFAULT.bookmakers,
    markets: Annotated[
        int, typer.Option(help="Markets per bookmaker and event; each line and player counts.")
    ] = _DEFAULT.markets_per_bookmaker,
    pace: Annotated[
        str, typer.Option(help="'poll': one step per poll; 'clock': by time.")
    ] = "clock",
    step_s: Annotated[float, typer.Option(help="Seconds per step.")] = _DEFAULT.step_s,
    change_share: Annotated[
        float, typer.Option(help="Share of markets that change per step, before the start.")
    ] = _DEFAULT.change_share,
    in_play_change_share: Annotated[
        float, typer.Option(help="Share of markets that change per step, in play.")
    ] = _DEFAULT.in_play_change_share,
    lead_s: Annotated[
        float, typer.Option(help="Events arrive at most this long before their start, in seconds.")
    ] = _DEFAULT.lead_s,
    in_play_s: Annotated[
        float, typer.Option(help="Events leave this long after their start, in seconds.")
    ] = _DEFAULT.in_play_s,
    only_prices: Annotated[
        bool, typer.Option("--only-prices", help="Only prices change: no absences, no line moves.")
    ] = False,
) -> None:
    """Serve simulated odds in the shape of The Odds API v4."""
    settings = _settings(
        pace=pace,
        seed=seed,
        sports=sports,
        events=events,
        bookmakers=bookmakers,
        markets_per_bookmaker=markets,
        step_s=step_s,
        change_share=change_share,
        in_play_change_share=in_play_change_share,
        lead_s=lead_s,
        in_play_s=in_play_s,
        **(_ONLY_PRICES if only_prices else {}),
    )
    bookmaker = SimulatedBookmaker(settings)
    # A large simulation has millions of objects that live as long as the process.
    gc.collect()
    gc.freeze()
    trio.run(_serve, bookmaker, host, port, gzip)


_ONLY_PRICES = {
    name: 0.0
    for name in SimulationSettings.__struct_fields__
    if name in {"line_move_share", "empty_share"} or name.endswith("_absence_share")
}


def _settings(*, pace: str, **fields: float) -> SimulationSettings:
    pace_: Literal["poll", "clock"] = "poll" if pace == "poll" else "clock"
    if pace != pace_:
        raise typer.BadParameter("must be poll or clock", param_hint="--pace")
    try:
        return SimulationSettings(pace=pace_, **fields)  # type: ignore[arg-type]  # ints and floats
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


async def _serve(bookmaker: SimulatedBookmaker, host: str, port: int, gzip: bool) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            bound = await nursery.start(
                partial(serve_app, request_response(bookmaker), host=host, port=port, gzip=gzip)
            )
            ready = {
                "port": bound,
                "sports": bookmaker.sport_keys,
                "markets": bookmaker.market_keys,
            }
            sys.stdout.write(msgspec.json.encode(ready).decode() + "\n")
            sys.stdout.flush()
            async for _ in signals:
                nursery.cancel_scope.cancel()


if __name__ == "__main__":
    typer.run(simulate)
