"""build_app binds every deployment with its own scaling, before any cluster exists."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from serve.app import build_app
from serve.config import DEPLOYMENTS
from serve.deployments import StageReplica
from serve.ray_calls import _own, stage_of  # the error mapping is what a cluster would do, tested without one
from serve.ray_ingress import IngressReplica


def test_every_deployment_gets_its_own_replicas_bounds_and_resources(trained_home: Any) -> None:
    config = trained_home.config(
        deployments={
            "retriever": {"num_replicas": 3, "num_cpus": 0.2, "max_ongoing_requests": 7, "max_queued_requests": 9},
            "generator": {"health_check_period_s": 1, "health_check_timeout_s": 5},
            "reranker": {"autoscaling": {"min_replicas": 1, "max_replicas": 5}, "resources": {"big": 1}},
        }
    )
    ingress = build_app(config)._bound_deployment
    bound = {
        application._bound_deployment.name: application._bound_deployment
        for application in ingress.init_kwargs.values()
    }
    assert {*bound, ingress.name} == set(DEPLOYMENTS)
    assert bound["retriever"].num_replicas == 3
    assert bound["retriever"].max_ongoing_requests == 7
    assert (bound["retriever"].max_queued_requests, bound["store"].max_queued_requests) == (9, -1)
    assert bound["retriever"].ray_actor_options["num_cpus"] == 0.2
    health = {name: one._deployment_config for name, one in bound.items()}
    assert (health["generator"].health_check_period_s, health["generator"].health_check_timeout_s) == (1, 5)
    assert (health["store"].health_check_period_s, health["store"].health_check_timeout_s) == (10, 30)
    assert bound["reranker"].ray_actor_options["resources"] == {"big": 1}
    assert bound["reranker"]._deployment_config.autoscaling_config.max_replicas == 5


async def test_a_replica_that_is_stopped_closes_what_it_holds() -> None:
    closed = []

    class Held:
        async def close(self) -> None:
            closed.append("ingress")

        async def unload(self) -> None:
            closed.append("model")

    class Connected:
        def close(self) -> None:
            closed.append("connections")

    class Called:
        async def close(self) -> None:
            closed.append("stage")

        async def stop(self, within_s: float) -> None:
            closed.append(f"calls within {within_s} s")

    ingress = SimpleNamespace(_ingress=Held(), _listener=Connected(), _stages={"store": Called()})
    await IngressReplica.__del__(ingress)  # type: ignore[arg-type]
    ingress._listener = None
    await IngressReplica.__del__(ingress)  # type: ignore[arg-type]
    assert closed == ["ingress", "stage", "connections", "ingress", "stage"]
    closed.clear()
    stage = SimpleNamespace(_model=Held(), _senders=Connected(), _calls=Called(), _last_calls_s=10)
    await StageReplica.__del__(stage)  # type: ignore[arg-type]
    stage._calls = None
    await StageReplica.__del__(stage)  # type: ignore[arg-type]
    assert closed == ["calls within 10 s", "connections", "model", "connections", "model"]


def test_our_errors_come_out_of_rays_wrapper_by_class_with_their_own_text() -> None:
    from ray.exceptions import RayTaskError

    from interest.errors import AttuneError, ConflictingWrite

    wrapped = RayTaskError("infer", "Traceback: remote", ConflictingWrite("id 'x': taken", "id"))
    own = _own("store", wrapped)
    assert isinstance(own, ConflictingWrite)
    assert (own.message, own.param) == ("id 'x': taken", "id")
    foreign = _own("store", RayTaskError("infer", "Traceback: remote", ZeroDivisionError("secret")))
    assert type(foreign) is AttuneError
    assert foreign.message == "store: ZeroDivisionError"


async def test_a_call_whose_replica_died_is_made_once_more() -> None:
    import numpy as np
    from ray.exceptions import RayActorError

    from interest.errors import NotReady

    class Handle:
        def __init__(self, deaths: int) -> None:
            self.deaths = deaths
            self.infer = self

        def remote(self, tensors: Any) -> Any:
            return self._answer(tensors)

        async def _answer(self, tensors: Any) -> Any:
            self.deaths -= 1
            if self.deaths >= 0:
                raise RayActorError
            return tensors

    batch = {"x": np.arange(3)}
    assert await stage_of("interest", Handle(1))(batch) is batch
    with pytest.raises(NotReady, match="its replica died"):
        await stage_of("interest", Handle(2))(batch)


@pytest.mark.parametrize("at_once", [True, False])
async def test_whatever_else_ray_raises_is_our_own_error_to_the_caller(at_once: bool) -> None:
    from interest.errors import AttuneError

    class Handle:
        def __init__(self) -> None:
            self.infer = self

        def remote(self, tensors: Any) -> Any:
            if at_once:
                raise RuntimeError("secret")
            return self._answer()

        async def _answer(self) -> Any:
            raise RuntimeError("secret")

    with pytest.raises(AttuneError) as caught:
        await stage_of("store", Handle())({})
    assert (type(caught.value), caught.value.message) == (AttuneError, "store: RuntimeError")


async def test_our_own_error_without_rays_wrapper_stays_what_it_is() -> None:
    from interest.errors import ConflictingWrite

    class Handle:
        def __init__(self) -> None:
            self.infer = self

        async def remote(self, tensors: Any) -> Any:
            raise ConflictingWrite("id 'x': taken", "id")

    with pytest.raises(ConflictingWrite, match="taken"):
        await stage_of("store", Handle())({})


async def test_leaving_a_call_cancels_it_on_the_replica_too() -> None:
    class Response:
        cancelled = False

        def cancel(self) -> None:
            self.cancelled = True

        def __await__(self) -> Any:
            return asyncio.sleep(60).__await__()

    class Handle:
        def __init__(self) -> None:
            self.response = Response()
            self.infer = self

        def remote(self, tensors: Any) -> Response:
            return self.response

    handle = Handle()
    call = asyncio.create_task(stage_of("generator", handle)({}))  # type: ignore[arg-type, var-annotated]
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert handle.response.cancelled
