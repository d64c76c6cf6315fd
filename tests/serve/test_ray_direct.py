"""Calls of a deployment: straight to its replicas where Ray says that they listen, by Ray everywhere else."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from ray.exceptions import RayActorError
from ray.serve.exceptions import DeploymentUnavailableError

from interest.batch import Tensors
from interest.errors import NotFound, NotReady
from serve import ray_direct, ray_streams
from serve.calls.replicas import Replicas
from serve.calls.wire import Place
from serve.config import Autoscaling, DeploymentConfig, ServerConfig
from serve.metrics import STAGE_CALLS
from serve.ray_direct import DirectStage, call_listener, goes_direct
from tests.serve.calls.stage import Replica, asking, listening, number_of


class Handle:
    """A deployment whose replicas say where they listen."""

    def __init__(self) -> None:
        self.found: list[Any] = []
        self.error: Exception | None = None
        self.asked = 0
        self._news = asyncio.Condition()

    def broadcast(self, method: str) -> "Handle":
        assert method == "listens_at"
        return self

    async def results_async(self, timeout_s: float, return_exceptions: bool) -> list[Any]:
        assert return_exceptions
        async with self._news:
            self.asked += 1
            self._news.notify_all()
        if self.error is not None:
            raise self.error
        return self.found

    async def until_asked(self, times: int) -> None:
        """Returns when it was asked so often again."""
        most = self.asked + times
        async with asyncio.timeout(5), self._news:
            await self._news.wait_for(lambda: self.asked >= most)


class Deployment:
    """`DirectStage` of a handle, and the calls that went by Ray."""

    def __init__(self) -> None:
        self.handle = Handle()
        self.by_ray: list[int] = []
        self.replicas = Replicas("interest", 8, -1)
        self.stage = DirectStage("interest", self.handle, self._call, self.replicas)

    async def _call(self, tensors: Tensors) -> Tensors:
        self.by_ray.append(number_of(tensors))
        return tensors

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():
                await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_direct, "REFRESH_S", 0.01)
    monkeypatch.setattr(ray_direct, "AGAIN_S", 0.0)


@asynccontextmanager
async def deployed(*replicas: Replica) -> AsyncIterator[Deployment]:
    async with listening(*replicas) as places:
        deployment = Deployment()
        deployment.handle.found = list(places)
        deployment.stage.start()
        await deployment.until(lambda: len(deployment.replicas) == len(places))
        yield deployment
        await deployment.stage.close()


def counted(way: str) -> float:
    value: float = STAGE_CALLS.labels("interest", way)._value.get()
    return value


async def test_calls_go_straight_to_a_replica_and_are_counted() -> None:
    replica, before = Replica(), counted("direct")
    async with deployed(replica) as deployment:
        assert number_of(await deployment.stage(asking(1))) == 1
        assert (replica.stage.asked, deployment.by_ray) == ([1], [])
    assert counted("direct") == before + 1


@pytest.mark.parametrize("found", [[], [None], [RayActorError()]])
async def test_where_no_replica_listens_they_go_by_ray(found: list[Any]) -> None:
    before = counted("ray")
    async with deployed() as deployment:
        deployment.handle.found = found
        await deployment.handle.until_asked(2)
        assert number_of(await deployment.stage(asking(1))) == 1
        assert deployment.by_ray == [1]
    assert counted("ray") == before + 1


async def test_before_anybody_has_said_where_they_listen_they_go_by_ray() -> None:
    deployment = Deployment()
    await deployment.stage(asking(1))
    assert deployment.by_ray == [1]
    await deployment.stage.close()


async def test_an_error_of_the_stage_is_the_callers_and_nothing_is_called_again() -> None:
    replica = Replica()
    replica.stage.error = NotFound("nobody")
    async with deployed(replica) as deployment:
        with pytest.raises(NotFound, match="nobody"):
            await deployment.stage(asking(1))
        assert (replica.stage.asked, deployment.by_ray) == ([1], [])


async def moved_on(deployment: Deployment, one: Replica, other: Replica) -> tuple[asyncio.Future[Tensors], Replica]:
    """A call whose first replica has died, and the replica that holds it now."""
    call = asyncio.ensure_future(deployment.stage(asking(1)))
    await deployment.until(lambda: bool(one.stage.asked or other.stage.asked))
    dying, living = (one, other) if one.stage.asked else (other, one)
    dying.die()
    await living.stage.until(lambda: living.stage.asked == [1])
    return call, living


async def test_a_call_whose_replica_dies_is_made_once_more_by_another() -> None:
    one, other = Replica(holds=True), Replica(holds=True)
    async with deployed(one, other) as deployment:
        call, living = await moved_on(deployment, one, other)
        living.stage.may_answer[1].set()
        assert number_of(await call) == 1
        assert deployment.by_ray == []


async def test_or_by_ray_when_there_is_no_other() -> None:
    replica = Replica(holds=True)
    async with deployed(replica) as deployment:
        call = asyncio.ensure_future(deployment.stage(asking(1)))
        await replica.stage.until(lambda: replica.stage.asked == [1])
        replica.die()
        assert number_of(await call) == 1
        assert deployment.by_ray == [1]


async def test_one_whose_second_replica_dies_too_fails() -> None:
    one, other = Replica(holds=True), Replica(holds=True)
    async with deployed(one, other) as deployment:
        call, living = await moved_on(deployment, one, other)
        living.die()
        with pytest.raises(NotReady, match=r"^interest: its replica died$"):
            await call
        assert deployment.by_ray == []


async def test_replicas_come_and_go_as_ray_says() -> None:
    one, other = Replica(), Replica()
    async with listening(other), deployed(one) as deployment:
        deployment.handle.found = [one.place, other.place]
        await deployment.until(lambda: deployment.replicas.places == {one.place, other.place})
        deployment.handle.found = [other.place, None]
        await deployment.until(lambda: deployment.replicas.places == {other.place})


@pytest.mark.parametrize("error", [DeploymentUnavailableError("interest"), TimeoutError(), RayActorError(), KeyError()])
async def test_while_ray_does_not_say_it_they_stay(error: Exception) -> None:
    replica = Replica()
    async with deployed(replica) as deployment:
        deployment.handle.error = error
        await deployment.handle.until_asked(2)
        assert deployment.replicas.places == {replica.place}
        deployment.handle.error, deployment.handle.found = None, [RayActorError()]
        await deployment.handle.until_asked(2)
        assert deployment.replicas.places == {replica.place}
        deployment.handle.found = []
        await deployment.until(lambda: not deployment.replicas.places)


async def test_ray_is_asked_again_soon_after_a_connection_was_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_direct, "REFRESH_S", 60.0)
    replica = Replica()
    async with deployed(replica) as deployment:
        deployment.handle.found = []
        replica.die()
        await deployment.handle.until_asked(1)


def settings(**deployments: DeploymentConfig) -> ServerConfig:
    return ServerConfig(deployments=deployments)


def test_stages_whose_calls_ray_must_see_are_rays() -> None:
    assert goes_direct("interest", settings())
    assert not goes_direct("generator", settings())
    assert not goes_direct("interest", settings(interest=DeploymentConfig(autoscaling=Autoscaling())))
    assert not goes_direct("interest", settings(interest=DeploymentConfig(access_log=True)))


async def test_only_replicas_of_the_others_listen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_USE_TLS", raising=False)
    monkeypatch.setattr(ray_streams, "get_node_ip_address", lambda: "127.0.0.1")
    infer = Replica().stage.infer
    assert await call_listener("generator", settings(), infer) is None
    listener = await call_listener("interest", settings(), infer)
    assert listener is not None
    assert isinstance(listener.place, Place)
    assert listener.place.host == "127.0.0.1"
    await listener.stop(0.0)
    monkeypatch.setenv("RAY_USE_TLS", "1")
    assert await call_listener("interest", settings(), infer) is None
