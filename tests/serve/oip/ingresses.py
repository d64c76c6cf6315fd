"""Ingress replicas of one process, and what tests ask them."""

import asyncio
import time
from collections.abc import Callable

from serve.oip.added_models import AddedModels
from serve.oip.message import InferRequest
from serve.oip.server import InferenceServer
from tests.serve.oip.folders import ONES
from tests.serve.oip.local_deployments import LocalDeployments

Pair = tuple[InferenceServer, InferenceServer]


def new_ingress(deployments: LocalDeployments, taken: tuple[str, ...] = ()) -> InferenceServer:
    server = InferenceServer("attune", "1", {}, 30, AddedModels(deployments._url, taken, deployments))
    return server


async def answer(server: InferenceServer, version: str = "") -> float:
    found = await server.infer(InferRequest(model="scaler", version=version, inputs=ONES, datatypes={"x": "FP32"}))
    return float(found.outputs["y"][0, 0])


async def states(server: InferenceServer) -> list[tuple[str, str, str]]:
    """(version, state, reason) of each that the index lists."""
    return [(one["version"], one["state"], one["reason"]) for one in await server.index()]


async def until(condition: Callable[[], bool]) -> bool:
    """Whether it comes true within five seconds."""
    give_up = time.monotonic() + 5
    while not condition() and time.monotonic() < give_up:
        await asyncio.sleep(0.01)
    return condition()
