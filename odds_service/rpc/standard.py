"""Health and reflection, open to callers without a token but bounded in number.

Reflection is served as v1 and v1alpha, which have the same messages under different names.
grpcio-reflection includes only v1alpha, so v1 is derived from it.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import Any, Final

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.rpc import error_details_pb2
from grpc import aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

from odds_service.rpc.handlers import Context, abort
from odds_service.serving.errors import exhausted

PLACES: Final = 200  # streams of both services together, apart from the limits of other calls
REFLECTION_V1: Final = "grpc.reflection.v1.ServerReflection"

_RETRY_S: Final = 1.0
_V1, _V1ALPHA = "grpc.reflection.v1", "grpc.reflection.v1alpha"


class StreamSlots:
    """A bound on the streams of health and reflection open at once."""

    def __init__(self, places: int) -> None:
        self._places = places
        self.taken = 0

    async def take(self, context: Context) -> None:
        """Hold a place until the current call ends, or abort the call if none is free."""
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
    """grpc's servicer with its watchers counted; Check is unary and always answered."""

    def __init__(self, places: StreamSlots) -> None:
        super().__init__()
        self._places = places

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: Context) -> None:
        """See grpc.health.v1."""
        await self._places.take(context)
        await super().Watch(request, context)


class Reflection(reflection.aio.ReflectionServicer):  # type: ignore[name-defined, misc]  # nor here
    """grpc's servicer with its streams counted."""

    def __init__(self, names: tuple[str, ...], places: StreamSlots) -> None:
        super().__init__(names, descriptors(names))
        self._places = places

    async def ServerReflectionInfo(
        self, requests: AsyncIterable[reflection_pb2.ServerReflectionRequest], context: Context
    ) -> AsyncIterator[reflection_pb2.ServerReflectionResponse]:
        """See grpc.reflection.v1."""
        await self._places.take(context)
        async for reply in super().ServerReflectionInfo(requests, context):
            yield reply


def descriptors(services: Iterable[str]) -> descriptor_pool.DescriptorPool:
    """Return a pool with the files that define services, and with those of error details.

    It is separate from the process's pool, where the v1 file of another package would clash.
    """
    known = descriptor_pool.Default()
    files = [known.FindFileContainingSymbol(name) for name in services if name != REFLECTION_V1]
    pool = descriptor_pool.DescriptorPool()
    added: set[str] = set()
    for file in (*files, error_details_pb2.DESCRIPTOR):
        _add(pool, file, added)
    pool.Add(_reflection_v1())
    return pool


def _add(pool: descriptor_pool.DescriptorPool, file: FileDescriptor, added: set[str]) -> None:
    """Add a file to a pool, after the files that it imports."""
    if file.name in added:
        return
    added.add(file.name)
    for imported in file.dependencies:
        _add(pool, imported, added)
    pool.Add(FileDescriptorProto.FromString(file.serialized_pb))


def _reflection_v1() -> FileDescriptorProto:
    """Return the file of reflection v1, derived from v1alpha by renaming."""
    file = FileDescriptorProto.FromString(reflection_pb2.DESCRIPTOR.serialized_pb)
    file.name = "grpc/reflection/v1/reflection.proto"
    file.package = _V1
    for message in file.message_type:
        for field in message.field:
            if field.type_name:
                field.type_name = _in_v1(field.type_name)
    for method in file.service[0].method:
        method.input_type, method.output_type = (
            _in_v1(method.input_type),
            _in_v1(method.output_type),
        )
    return file


def _in_v1(type_name: str) -> str:
    return type_name.replace(f".{_V1ALPHA}.", f".{_V1}.")


def add_standard(server: aio.Server, service: str) -> Any:
    """Add health and reflection to a server.

    Args:
        server: A server that has not started.
        service: The full name of the service that reflection describes beside these two.

    Returns:
        The health servicer, on which to set the service's state.
    """
    places = StreamSlots(PLACES)
    status = Health(places)
    health_pb2_grpc.add_HealthServicer_to_server(status, server)
    names = (service, health.SERVICE_NAME, reflection.SERVICE_NAME, REFLECTION_V1)
    servicer = Reflection(names, places)
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, server)
    server.add_generic_rpc_handlers((_v1_handler(servicer),))
    return status


def _v1_handler(servicer: Reflection) -> "grpc.GenericRpcHandler[Any, Any]":
    """Return the handler of reflection v1, which shares the v1alpha servicer."""
    method = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    return grpc.method_handlers_generic_handler(REFLECTION_V1, {"ServerReflectionInfo": method})
