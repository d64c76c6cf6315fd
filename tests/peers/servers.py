"""Both servers of the differential test: real Triton, started again when a request ended it, and Attune's routes."""

import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import grpc
import httpx
from fastapi import FastAPI
from tritonclient.grpc import service_pb2_grpc

from benchmarks.peers.triton_server import Triton, triton
from serve.grpc_service import GrpcService, status_of
from serve.routes.envelope import RequestEnvelope
from serve.routes.errors import install_error_handlers
from serve.routes.infer import InferShortcut
from serve.routes.oip import oip_router
from tests.peers.answers import Answer, asked, called
from tests.peers.cases import Case
from tests.peers.grpc_cases import GrpcCase
from tests.peers.models import TRITON_MODELS

DIED = 0  # in place of a status


class LivingTriton:
    """A context manager; `restarts` counts how often a request ended the server."""

    running: Triton

    def __init__(self, environment: Path) -> None:
        self.restarts = 0
        self._environment = environment
        self._stack = ExitStack()

    def __enter__(self) -> "LivingTriton":
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    async def asked(self, case: Case) -> Answer:
        """The answer; status `DIED` when the request has ended the server, which is then started again."""
        try:
            async with httpx.AsyncClient(base_url=f"http://{self.running.http}", timeout=30) as client:
                return await asked(client, case)
        except httpx.TransportError as error:
            self.restart()
            return Answer(DIED, text=f"the server died: {error!r}")

    async def called(self, case: GrpcCase) -> Answer:
        """The same over gRPC."""
        async with grpc.aio.insecure_channel(self.running.grpc) as channel:
            answer = await called(channel, case)
            if answer.status == grpc.StatusCode.UNAVAILABLE.value[0] and not self._alive():
                self.restart()
                return Answer(DIED, text=f"the server died: {answer.text}")
            return answer

    def _alive(self) -> bool:
        try:
            return httpx.get(f"http://{self.running.http}/v2/health/live").status_code == 200
        except httpx.TransportError:
            return False

    def restart(self) -> None:
        self._stack.close()
        self.restarts += 1
        self._start()

    def _start(self) -> None:
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self.running = self._stack.enter_context(triton(self._environment, TRITON_MODELS, folder, {}))


def attune_client(api: Any) -> httpx.AsyncClient:
    """A client of Attune's routes of the protocol in this process, with what the server puts around every route."""
    app = FastAPI()
    install_error_handlers(app)
    app.include_router(oip_router(api))
    whole = RequestEnvelope(InferShortcut(app, api), api.limits.max_body_bytes, True)
    transport = httpx.ASGITransport(whole, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://attune", timeout=30)


@asynccontextmanager
async def attune_channel(api: Any) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to Attune's gRPC service, with what Ray Serve's proxy would do around it."""
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(_Servicer(GrpcService(api)), server)
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel
    finally:
        await server.stop(None)


class _Servicer(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]  # generated code has no types
    """The calls of the test."""

    def __init__(self, service: GrpcService) -> None:
        for name, call in (
            ("ServerLive", service.server_live),
            ("ServerReady", service.server_ready),
            ("ModelReady", service.model_ready),
            ("ModelMetadata", service.model_metadata),
            ("ModelConfig", service.model_config),
            ("ModelStatistics", service.model_statistics),
            ("ModelInfer", service.model_infer),
        ):
            setattr(self, name, self._answering(call))

    @staticmethod
    def _answering(call: Callable[[Any], Awaitable[Any]]) -> Callable[[Any, Any], Awaitable[Any]]:
        async def answer(request: Any, context: Any) -> Any:
            try:
                return await call(request)
            except Exception as error:  # as serve.ray_grpc tells the proxy
                code, text = status_of(error)
                await context.abort(grpc.StatusCode[code], text)

        return answer
