"""Attune's own application with stages that compute next to nothing: what is left is the cost of the server.

The deployments, their handles, the ingress with its batches, checks, log and metrics are the product's. Only what a
stage computes is `benchmarks.peers.trivial`, in arrays of the shapes that the real stages give; impressions reach a
store that acknowledges them and keeps none.
"""

from collections.abc import Callable

import numpy as np
import ray.serve
from ray.serve import Application

from benchmarks.peers import trivial
from benchmarks.peers.home import item_keys, vector_sizes
from interest.batch import Tensors, UserBatch
from ranking.batch import CandidateBatch, RankedBatch
from ranking.sources import SCORES
from serve.config import STAGES, ServerConfig
from serve.deployments import StageReplica
from serve.model import OneThread
from serve.ray_ingress import INGRESS
from serve.ray_options import deployment_options
from serve.startup import checked
from serve.store_commands import Answer, tensors_of


def build_trivial_app(config: ServerConfig) -> Application:
    """As `serve.app.build_app`, with `TrivialStage` in every deployment behind the ingress."""
    config = checked(config)
    handles = {
        stage: ray.serve.deployment(TrivialReplica, name=stage, **deployment_options(config.deployment(stage))).bind(
            stage, config
        )
        for stage in STAGES
    }
    ingress = ray.serve.deployment(INGRESS, name="ingress", **deployment_options(config.deployment("ingress")))
    return ingress.bind(config, **handles)


class TrivialReplica(StageReplica):
    """A replica of a stage with another model in it."""

    async def __init__(self, stage: str, config: ServerConfig) -> None:  # type: ignore[misc]  # Ray awaits it
        await self._start(TrivialStage(stage, config), config)


class TrivialStage:
    """Any of the stages, in a thread of its own as the real ones."""

    def __init__(self, name: str, config: ServerConfig) -> None:
        self.name = name
        self._rank, self._content = vector_sizes(config)
        self._keys = item_keys(config)
        self._thread = OneThread(name)
        self._compute = _stages(self)[name]

    async def load(self) -> None:
        """Nothing to load."""

    async def infer(self, tensors: Tensors) -> Tensors:
        return await self._thread.run(lambda: self._compute(tensors))

    async def check_health(self) -> None:
        """Nothing that could die."""

    async def unload(self) -> None:
        self._thread.close()

    def interest(self, tensors: Tensors) -> Tensors:
        names = tensors["user_id"].tolist()
        rows, empty = len(names), np.zeros(0)
        interests = np.empty(rows, dtype=object)
        interests[:] = [()] * rows
        vectors = trivial.interests(names, self._rank)
        offsets = np.zeros(rows + 1, dtype=np.int64)
        users = UserBatch(
            now=tensors["now"],
            vector=vectors,
            recent_vector=vectors,
            session_vector=vectors,
            content=np.zeros((rows, *self._content), dtype=np.float32),
            behaviour_offsets=offsets,
            behaviour_item=empty.astype(np.int64),
            behaviour_type=empty.astype(np.int8),
            behaviour_count=empty.astype(np.int32),
            behaviour_value=empty,
            behaviour_first_at=empty,
            behaviour_last_at=empty,
            behaviour_decayed=np.zeros((0, 3)),
            facet_offsets=offsets,
            facet_hash=empty.astype(np.uint64),
            facet_weight=empty.astype(np.float32),
        )
        return {
            **users.to_tensors(),
            "reply_interests": interests,
            "reply_events": np.ones(rows, dtype=np.int64),
            "reply_known": np.ones(rows, dtype=np.bool_),
            "reply_updated_at": np.zeros(rows),
        }

    def retriever(self, tensors: Tensors) -> Tensors:
        places, scores = trivial.candidates(tensors["vector"])
        by_source = np.full((places.size, len(SCORES)), np.nan, dtype=np.float32)
        by_source[:, 0] = scores.ravel()
        offsets = np.arange(len(places) + 1, dtype=np.int64) * trivial.COUNT
        return CandidateBatch(offsets, self._keys[places.ravel()], by_source).to_tensors()

    def reranker(self, tensors: Tensors) -> Tensors:
        rows = len(tensors["candidate_offsets"]) - 1
        keys = tensors["candidate_item"].reshape(rows, -1)
        items, scores = trivial.ranked(keys, tensors["candidate_score"][:, 0].reshape(rows, -1))
        parts, sure = np.zeros((items.size, len(SCORES)), dtype=np.float32), np.ones(items.size)
        return RankedBatch(tensors["candidate_offsets"], items.ravel(), scores.ravel(), parts, sure).to_tensors()

    def store(self, tensors: Tensors) -> Tensors:
        return tensors_of([Answer()] * len(tensors["command"]))

    def unused(self, tensors: Tensors) -> Tensors:
        raise NotImplementedError(f"{self.name}: no request of the benchmark needs it")


def _stages(stage: TrivialStage) -> dict[str, Callable[[Tensors], Tensors]]:
    own = {"interest": stage.interest, "retriever": stage.retriever, "reranker": stage.reranker, "store": stage.store}
    return {**dict.fromkeys(STAGES, stage.unused), **own}
