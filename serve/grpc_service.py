"""`inference.GRPCInferenceService` over `InferenceServer`: one method for each call of the service, without Ray."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from tritonclient.grpc import service_pb2

from interest.errors import AttuneError
from serve.oip.errors import UnknownModel, Unsupported, unknown_is_invalid
from serve.oip.grpc_codec import read_request, statistics_message, write_response
from serve.routes.api import Api

CODES = {
    400: "INVALID_ARGUMENT",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    413: "INVALID_ARGUMENT",
    422: "INVALID_ARGUMENT",
    429: "UNAVAILABLE",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
}
NOT_SUPPORTED = "not supported by Attune: tensors travel in the messages, and the server's config sets logs and traces"


def status_of(error: Exception) -> tuple[str, str]:
    """(name of a gRPC status, message); nothing of an error that is not ours leaves but that there was one."""
    if isinstance(error, AttuneError):
        return CODES.get(error.status, "INTERNAL"), error.message
    return "INTERNAL", "internal error; the log holds it"


class GrpcService:
    """Takes and gives messages of tritonclient's `service_pb2`. Raises our own errors."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._server = api.inference

    async def server_live(self, asked: Any) -> Any:
        return service_pb2.ServerLiveResponse(live=True)

    async def server_ready(self, asked: Any) -> Any:
        return service_pb2.ServerReadyResponse(ready=self._api.readiness.ready)

    async def model_ready(self, asked: Any) -> Any:
        try:
            return service_pb2.ModelReadyResponse(ready=await self._server.is_ready(asked.name, asked.version))
        except UnknownModel:  # not ready, and no error either: that is what Triton's clients ask for
            return service_pb2.ModelReadyResponse(ready=False)

    async def server_metadata(self, asked: Any) -> Any:
        return service_pb2.ServerMetadataResponse(**self._server.server_metadata())

    async def model_metadata(self, asked: Any) -> Any:
        return service_pb2.ModelMetadataResponse(**await self._server.model_metadata(asked.name, asked.version))

    async def model_config(self, asked: Any) -> Any:
        return service_pb2.ModelConfigResponse(
            config=(await self._server.require(asked.name, asked.version)).to_proto()
        )

    async def model_statistics(self, asked: Any) -> Any:
        with unknown_is_invalid():
            return statistics_message(await self._server.statistics(asked.name, asked.version))

    async def repository_index(self, asked: Any) -> Any:
        return service_pb2.RepositoryIndexResponse(models=await self._server.index(asked.ready))

    async def repository_load(self, asked: Any) -> Any:
        chosen = {name: (value, value.WhichOneof("parameter_choice")) for name, value in asked.parameters.items()}
        given = {name: getattr(value, choice) if choice else None for name, (value, choice) in chosen.items()}
        await self._server.load(asked.model_name, given)
        return service_pb2.RepositoryModelLoadResponse()

    async def repository_unload(self, asked: Any) -> Any:
        await self._server.unload(asked.model_name)
        return service_pb2.RepositoryModelUnloadResponse()

    async def model_infer(self, message: Any) -> Any:
        with self._api.permits.hold():
            return write_response(await self._server.infer(read_request(message)))

    async def model_stream_infer(self, messages: AsyncIterator[Any]) -> AsyncGenerator[Any, None]:
        """An answer, several, or an error message for each request, in their order; the stream outlives errors."""
        async for message in messages:
            try:
                with self._api.permits.hold():
                    async with aclosing(self._server.stream(read_request(message))) as answers:
                        async for answer in answers:
                            yield service_pb2.ModelStreamInferResponse(infer_response=write_response(answer))
            except Exception as error:  # whatever happens to one request, the others of the stream are answered
                _, text = status_of(error)
                failed = service_pb2.ModelInferResponse(id=message.id, model_name=message.model_name)
                yield service_pb2.ModelStreamInferResponse(error_message=text, infer_response=failed)

    async def unsupported(self, call: str) -> Any:
        raise Unsupported(f"{call}: {NOT_SUPPORTED}")
