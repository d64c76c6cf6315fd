"""Ingress replicas of one process, and what tests ask them."""

import asyncio
import time
from collections.abc import Callable, Mapping

from serve.oip.added_models import NO_CONFIGS, AddedModels
from serve.oip.entries import Entry
from serve.oip.message import InferRequest
from serve.oip.model_config import ModelConfig
from serve.oip.server import InferenceServer
from tests.serve.oip.folders import ONES
from tests.serve.oip.local_deployments import LocalDeployments

NO_ENTRIES: Mapping[str, Entry] = {}
Pair = tuple[InferenceServer, InferenceServer]


def new_ingress(
    deployments: LocalDeployments,
    entries: Mapping[str, Entry] = NO_ENTRIES,
    ensembles: Mapping[str, ModelConfig] = NO_CONFIGS,
) -> InferenceServer:
    """`entries`, `ensembles`: what it was started with."""
    added = AddedModels(deployments._url, (*entries, *ensembles), deployments, ensembles=ensembles)
    return InferenceServer("attune", "1", entries, 30, added)


async def answer(server: InferenceServer, version: str = "") -> float:
    found = await server.infer(InferRequest(model="scaler", version=version, inputs=ONES, datatypes={"x": "FP32"}))
    return float(found.outputs["y"][0, 0])


async def twice(server: InferenceServer, model: str = "twice") -> float:
    found = await server.infer(InferRequest(model=model, inputs={"a": ONES["x"]}, datatypes={"a": "FP32"}))
    return float(found.outputs["c"][0, 0])


async def states(server: InferenceServer) -> list[tuple[str, str, str]]:
    """(version, state, reason) of each that the index lists."""
    return [(one["version"], one["state"], one["reason"]) for one in await server.index()]


async def until(condition: Callable[[], bool]) -> bool:
    """Whether it comes true within five seconds."""
    give_up = time.monotonic() + 5
    while not condition() and time.monotonic() < give_up:
        await asyncio.sleep(0.01)
    return condition()
