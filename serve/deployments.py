"""One thin Ray class for every stage, one for the ingress, and handles that look like stages."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING

import ray.serve
from ray.exceptions import RayActorError, RayTaskError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from ray.serve.handle import DeploymentHandle, DeploymentResponse

from interest.batch import Tensors
from interest.errors import AttuneError, NotReady, Overloaded
from serve.config import ServerConfig
from serve.model import Streaming, StreamingModel
from serve.ranker import Stage
from serve.ray_grpc import GrpcCalls
from serve.stages.factory import make_model

if TYPE_CHECKING:
    from serve.routes.app import ASGIApp

log = logging.getLogger("attune.deployments")


class StageReplica:
    """One replica of one stage: a `Model` behind a Ray actor."""

    async def __init__(self, stage: str, config: ServerConfig) -> None:  # type: ignore[misc]  # Ray awaits it
        self._model = make_model(stage, config)
        await self._model.load()

    async def infer(self, tensors: Tensors) -> Tensors:
        return await self._model.infer(tensors)

    async def stream(self, tensors: Tensors) -> AsyncGenerator[Tensors, None]:
        assert isinstance(self._model, StreamingModel), f"{self._model.name} does not stream"
        async with aclosing(self._model.stream(tensors)) as parts:
            async for part in parts:
                yield part

    async def check_health(self) -> None:
        await self._model.check_health()

    async def __del__(self) -> None:
        await self._model.unload()


class IngressReplica(GrpcCalls):
    """The HTTP and gRPC surface; the other deployments are reached through handles."""

    async def __init__(self, config: ServerConfig, **handles: DeploymentHandle) -> None:  # type: ignore[misc]
        from serve.ingress import Ingress  # the other replicas need none of its imports

        stages = {name: stage_of(name, handle) for name, handle in handles.items()}
        self._ingress = Ingress(config, stages, streaming_of("generator", handles["generator"]))
        await self._ingress.start()
        self.grpc_service = self._ingress.grpc_service()

    def __serve_build_asgi_app__(self) -> "ASGIApp":
        return self._ingress.asgi_app(request_id_header=False)  # Ray Serve adds the header itself

    async def check_health(self) -> None:
        await self._ingress.check_health()

    async def __del__(self) -> None:
        await self._ingress.close()


def stage_of(name: str, handle: DeploymentHandle) -> Stage:
    """The deployment as a callable from tensors to tensors that raises our own errors.

    A call whose replica died is made once more: every stage call may be repeated, because reads change nothing and
    writes carry idempotency keys.
    """

    async def call(tensors: Tensors) -> Tensors:
        try:
            return await _once(name, handle, tensors)
        except RayActorError:
            log.warning("a %s replica died with a call under way; calling another", name)
        try:
            return await _once(name, handle, tensors)
        except RayActorError as error:
            raise NotReady(f"{name}: its replica died") from error

    return call


def streaming_of(name: str, handle: DeploymentHandle) -> Streaming:
    """The same for its streamed answers. A call whose replica died before it said anything is made once more."""
    handle = handle.options(stream=True)

    async def call(tensors: Tensors) -> AsyncGenerator[Tensors, None]:
        for last_try in (False, True):
            begun = False
            try:
                async with aclosing(_parts_of(name, handle, tensors)) as parts:
                    async for part in parts:
                        begun = True
                        yield part
                return
            except RayActorError as error:
                if begun or last_try:
                    raise NotReady(f"{name}: its replica died") from error
                log.warning("a %s replica died before it answered; calling another", name)

    return call


async def _parts_of(name: str, handle: DeploymentHandle, tensors: Tensors) -> AsyncGenerator[Tensors, None]:
    with _own_errors(name):
        response = handle.stream.remote(tensors)
        try:
            async for part in response:
                yield part
        finally:
            response.cancel()  # of a call that has ended it does nothing


async def _once(name: str, handle: DeploymentHandle, tensors: Tensors) -> Tensors:
    with _own_errors(name):
        return await _answer_of(handle.infer.remote(tensors))


@contextmanager
def _own_errors(name: str) -> Iterator[None]:
    """Raises our own errors, and `RayActorError` for a replica that died; nothing else leaves but a cancellation."""
    try:
        yield
    except RayTaskError as error:
        raise _own(name, error) from error
    except BackPressureError as error:
        raise Overloaded(f"{name}: its queue is full") from error
    except DeploymentUnavailableError as error:
        raise NotReady(f"{name}: no replica is healthy") from error
    except (AttuneError, RayActorError):
        raise
    except Exception as error:  # Ray's and gRPC's own trouble, of many classes (a message too long, a broken channel)
        log.exception("calling %s failed", name)
        raise AttuneError(f"{name}: {type(error).__name__}") from error


async def _answer_of(response: DeploymentResponse) -> Tensors:
    try:
        answer: Tensors = await response
        return answer
    except asyncio.CancelledError:
        response.cancel()  # Ray does not, and the replica would work on for nobody
        raise


def _own(name: str, error: RayTaskError) -> AttuneError:
    """Our error out of Ray's wrapper: by class, with the text of our own attribute and not the remote traceback."""
    cause = error.cause
    if isinstance(cause, AttuneError):
        return cause
    log.error("%s failed: %s", name, error)
    return AttuneError(f"{name}: {type(cause).__name__}")


INGRESS = ray.serve.ingress()(IngressReplica)
