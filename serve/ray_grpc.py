"""The calls of `inference.GRPCInferenceService` as Ray Serve's gRPC proxy makes them: one method each, by its name."""

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import Any

import grpc
from ray.serve.grpc_util import RayServegRPCContext, gRPCInputStream

from serve.grpc_service import GrpcService, status_of

SERVICER = "tritonclient.grpc.service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server"

log = logging.getLogger("attune.grpc")


@contextmanager
def _told(grpc_context: RayServegRPCContext) -> Iterator[None]:
    """Errors leave with the status of their class; without one Ray would send what they say of themselves."""
    try:
        yield
    except Exception as error:
        code, text = status_of(error)
        if code == "INTERNAL":
            log.exception("a gRPC call failed")
        grpc_context.set_code(grpc.StatusCode[code])
        grpc_context.set_details(text)
        raise


def _call(answer: Callable[[GrpcService, Any], Awaitable[Any]]) -> Any:
    """A method that Ray Serve calls with the message."""

    async def call(self: "GrpcCalls", request: Any, grpc_context: RayServegRPCContext) -> Any:
        with _told(grpc_context):
            return await answer(self.grpc_service, request)

    return call


def _refused(name: str) -> Any:
    """A call of the service that this server does not have."""
    return _call(lambda service, _: service.unsupported(name))


class GrpcCalls:
    """Mixed into the ingress replica, which gives `grpc_service`."""

    grpc_service: GrpcService

    ServerLive = _call(GrpcService.server_live)
    ServerReady = _call(GrpcService.server_ready)
    ServerMetadata = _call(GrpcService.server_metadata)
    ModelReady = _call(GrpcService.model_ready)
    ModelMetadata = _call(GrpcService.model_metadata)
    ModelConfig = _call(GrpcService.model_config)
    ModelStatistics = _call(GrpcService.model_statistics)
    ModelInfer = _call(GrpcService.model_infer)
    RepositoryIndex = _call(GrpcService.repository_index)
    RepositoryModelLoad = _call(GrpcService.repository_load)
    RepositoryModelUnload = _call(GrpcService.repository_unload)
    SystemSharedMemoryStatus = _refused("SystemSharedMemoryStatus")
    SystemSharedMemoryRegister = _refused("SystemSharedMemoryRegister")
    SystemSharedMemoryUnregister = _refused("SystemSharedMemoryUnregister")
    CudaSharedMemoryStatus = _refused("CudaSharedMemoryStatus")
    CudaSharedMemoryRegister = _refused("CudaSharedMemoryRegister")
    CudaSharedMemoryUnregister = _refused("CudaSharedMemoryUnregister")
    TraceSetting = _refused("TraceSetting")
    LogSettings = _refused("LogSettings")

    async def ModelStreamInfer(self, request_stream: gRPCInputStream) -> AsyncGenerator[Any, None]:
        async with aclosing(self.grpc_service.model_stream_infer(request_stream)) as answers:
            async for answer in answers:
                yield answer
