"""The trivial stages as most people begin with Ray Serve: a handle call a stage a request, no batches.

python -m benchmarks.peers.ray_naive PORT ITEMS_JSON
"""

import json
import signal
import sys
from typing import Any

import ray
import ray.serve
from ray.serve import Deployment
from ray.serve.handle import DeploymentHandle
from starlette.requests import Request
from starlette.responses import JSONResponse

from benchmarks.peers import trivial


class Interest:
    async def __call__(self, user_id: str) -> Any:
        return trivial.interests([user_id])


class Retriever:
    async def __call__(self, vectors: Any) -> Any:
        return trivial.candidates(vectors)


class Reranker:
    async def __call__(self, items: Any, scores: Any) -> Any:
        return trivial.ranked(items, scores)


class Recommend:
    """One after the other."""

    def __init__(
        self, item_ids: list[str], interest: DeploymentHandle, retriever: DeploymentHandle, reranker: DeploymentHandle
    ) -> None:
        self._item_ids = item_ids
        self._interest, self._retriever, self._reranker = interest, retriever, reranker

    async def __call__(self, request: Request) -> JSONResponse:
        body = await request.json()
        vectors = await self._interest.remote(body["inputs"][0]["data"][0])
        items, scores = await self._retriever.remote(vectors)
        items, scores = await self._reranker.remote(items, scores)
        ids = [self._item_ids[item] for item in items[0].tolist()]
        outputs = [{"name": "item_id", "data": ids}, {"name": "score", "data": scores[0].tolist()}]
        return JSONResponse({"outputs": outputs})  # a plain dict would leave in chunks


def main(port: int, items: str) -> None:
    """Until SIGTERM."""
    with open(items) as told:
        item_ids = json.load(told)
    ray.init(include_dashboard=False, log_to_driver=False, _node_ip_address="127.0.0.1", num_cpus=2)
    ray.serve.start(http_options={"host": "127.0.0.1", "port": port})
    stages = [_deployed(stage).bind() for stage in (Interest, Retriever, Reranker)]
    app = _deployed(Recommend).bind(item_ids, *stages)
    ray.serve.run(app, route_prefix="/")
    signal.sigwait({signal.SIGTERM})
    ray.serve.shutdown()
    ray.shutdown()


def _deployed(kind: type) -> Deployment:
    return ray.serve.deployment(kind, max_ongoing_requests=256, ray_actor_options={"num_cpus": 0.1})


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    main(int(sys.argv[1]), sys.argv[2])
