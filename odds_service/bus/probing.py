"""A look at the bus of the settings, for the check before a start."""

from functools import partial

from odds_service.bus.log import Gone, Unavailable
from odds_service.bus.opening import open_bus
from odds_service.bus.taking_over import no_stream
from odds_service.bus.thread import open_bus_thread
from odds_service.config import BusSettings


async def probe_bus(settings: BusSettings) -> str:
    """Return a line about the stream of the log; nothing is sent to it.

    Args:
        settings: The settings of the bus.

    Raises:
        SettingsError: A setting is wrong.
        LogError: There is no stream.
    """
    async with open_bus_thread(partial(open_bus, settings)) as thread:
        try:
            info = await thread.call(thread.bus.log.info)
        except Unavailable as error:
            return f"away; a start would wait for it ({error})"
        except Gone:
            raise no_stream(settings.stream) from None
    return f"stream {settings.stream}, {info.last - info.first + 1:,} messages"
