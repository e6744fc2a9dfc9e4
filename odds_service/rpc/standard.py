"""Health and reflection: open to everybody, so that probes need no token, and bounded in all."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from typing import Any, Final

from grpc import aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

from odds_service.rpc.errors import Context, abort, exhausted

PLACES: Final = 200  # streams of both together; the calls of those who hold a token go on
_RETRY_S: Final = 1.0


class Places:
    """What streams of strangers may take, so that they cannot take what the server has for all."""

    def __init__(self, places: int) -> None:
        self._places = places
        self.taken = 0

    async def take(self, context: Context) -> None:
        """Take a place until this call's task ends; ends the call where there is none."""
        if self.taken >= self._places:
            text = f"all {self._places} streams of health and reflection are taken"
            await abort(context, exhausted("health and reflection", text, _RETRY_S))
        self.taken += 1
        task = asyncio.current_task()
        if task is not None:
            task.add_done_callback(self._give_back)

    def _give_back(self, _: object) -> None:
        self.taken -= 1


class Health(health.aio.HealthServicer):  # type: ignore[name-defined, misc]  # not in its stubs
    """grpc's own, with its watchers counted; checking is a unary call, and always answered."""

    def __init__(self, places: Places) -> None:
        super().__init__()
        self._places = places

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: Context) -> None:
        """See grpc.health.v1."""
        await self._places.take(context)
        await super().Watch(request, context)


class Reflection(reflection.aio.ReflectionServicer):  # type: ignore[name-defined, misc]  # nor here
    """grpc's own, with its streams counted."""

    def __init__(self, names: tuple[str, ...], places: Places) -> None:
        super().__init__(names)
        self._places = places

    async def ServerReflectionInfo(
        self, requests: AsyncIterable[reflection_pb2.ServerReflectionRequest], context: Context
    ) -> AsyncIterator[reflection_pb2.ServerReflectionResponse]:
        """See grpc.reflection.v1alpha."""
        await self._places.take(context)
        async for reply in super().ServerReflectionInfo(requests, context):
            yield reply


def add_standard(server: aio.Server, service: str) -> Any:
    """Add both to a server; gives the health servicer, to be told of the service's state."""
    places = Places(PLACES)
    status = Health(places)
    health_pb2_grpc.add_HealthServicer_to_server(status, server)
    names = (service, health.SERVICE_NAME, reflection.SERVICE_NAME)
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(Reflection(names, places), server)
    return status
