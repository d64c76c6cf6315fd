"""The calls of `inference.GRPCInferenceService` as Ray Serve's gRPC proxy makes them: one method each, by its name."""

import logging
from collections.abc import AsyncGenerator, Iterator
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


class GrpcCalls:
    """Mixed into the ingress replica, which gives `grpc_service`."""

    grpc_service: GrpcService

    async def ModelInfer(self, request: Any, grpc_context: RayServegRPCContext) -> Any:
        with _told(grpc_context):
            return await self.grpc_service.model_infer(request)

    async def ModelStreamInfer(self, request_stream: gRPCInputStream) -> AsyncGenerator[Any, None]:
        async with aclosing(self.grpc_service.model_stream_infer(request_stream)) as answers:
            async for answer in answers:
                yield answer

    async def ServerLive(self, request: Any, grpc_context: RayServegRPCContext) -> Any:
        with _told(grpc_context):
            return self.grpc_service.server_live()

    async def ServerReady(self, request: Any, grpc_context: RayServegRPCContext) -> Any:
        with _told(grpc_context):
            return self.grpc_service.server_ready()

    async def ModelReady(self, request: Any, grpc_context: RayServegRPCContext) -> Any:
        with _told(grpc_context):
            return self.grpc_service.model_ready(request)

    async def ServerMetadata(self, request: Any, grpc_context: RayServegRPCContext) -> Any:
        with _told(grpc_context):
            return self.grpc_service.server_metadata()

    async def ModelMetadata(self, request: Any, grpc_context: RayServegRPCContext) -> Any:
        with _told(grpc_context):
            return self.grpc_service.model_metadata(request)

    async def ModelConfig(self, request: Any, grpc_context: RayServegRPCContext) -> Any:
        with _told(grpc_context):
            return self.grpc_service.model_config(request)

    async def ModelStatistics(self, request: Any, grpc_context: RayServegRPCContext) -> Any:
        with _told(grpc_context):
            return self.grpc_service.model_statistics(request)

    async def RepositoryIndex(self, request: Any, grpc_context: RayServegRPCContext) -> Any:
        with _told(grpc_context):
            return self.grpc_service.repository_index(request)

    async def RepositoryModelLoad(self, request: Any, grpc_context: RayServegRPCContext) -> Any:
        with _told(grpc_context):
            return self.grpc_service.repository_load(request)

    async def RepositoryModelUnload(self, request: Any, grpc_context: RayServegRPCContext) -> Any:
        with _told(grpc_context):
            return self.grpc_service.repository_unload(request)

    async def SystemSharedMemoryStatus(self, request: Any, grpc_context: RayServegRPCContext) -> Any:
        with _told(grpc_context):
            return self.grpc_service.unsupported("SystemSharedMemoryStatus")

    async def SystemSharedMemoryRegister(self, request: Any, grpc_context: RayServegRPCContext) -> Any:
        with _told(grpc_context):
            return self.grpc_service.unsupported("SystemSharedMemoryRegister")

    async def SystemSharedMemoryUnregister(self, request: Any, grpc_context: RayServegRPCContext) -> Any:
        with _told(grpc_context):
            return self.grpc_service.unsupported("SystemSharedMemoryUnregister")

    async def CudaSharedMemoryStatus(self, request: Any, grpc_context: RayServegRPCContext) -> Any:
        with _told(grpc_context):
            return self.grpc_service.unsupported("CudaSharedMemoryStatus")

    async def CudaSharedMemoryRegister(self, request: Any, grpc_context: RayServegRPCContext) -> Any:
        with _told(grpc_context):
            return self.grpc_service.unsupported("CudaSharedMemoryRegister")

    async def CudaSharedMemoryUnregister(self, request: Any, grpc_context: RayServegRPCContext) -> Any:
        with _told(grpc_context):
            return self.grpc_service.unsupported("CudaSharedMemoryUnregister")

    async def TraceSetting(self, request: Any, grpc_context: RayServegRPCContext) -> Any:
        with _told(grpc_context):
            return self.grpc_service.unsupported("TraceSetting")

    async def LogSettings(self, request: Any, grpc_context: RayServegRPCContext) -> Any:
        with _told(grpc_context):
            return self.grpc_service.unsupported("LogSettings")
