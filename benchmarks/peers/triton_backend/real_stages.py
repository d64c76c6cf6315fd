"""model.py of Attune's own three stages in Triton's Python backend; the model's name says which one it is.

The functions are those that Attune's replicas call, on the same release and the same store. Between the steps the
arrays of a user travel as one tensor of bytes: seventeen named ones cost Triton more than the packing does.

This Python backend was built for NumPy 1 and the stages need NumPy 2, with which it passes numbers on, by DLPack, and
no text. So users come as places in a list and items leave as keys, which is less work than their names.
"""

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as triton

from benchmarks.peers.home import vector_sizes
from benchmarks.peers.packing import Layout
from interest.batch import Tensors, UserRequest
from ranking.batch import CandidateRequest, RankedBatch, plain_wishes
from ranking.boosting import Boosts
from serve.config import ServerConfig
from serve.oip.stage_arrays import candidate_inputs, user_inputs
from serve.stages.candidates import InterestStage, RerankerStage, RetrieverStage
from serve.stages.replica import ReleaseReplica
from serve.startup import candidates_of, clock_of

STAGES: dict[str, Callable[[ServerConfig], ReleaseReplica]] = {
    "interest": InterestStage,
    "retriever": RetrieverStage,
    "reranker": RerankerStage,
}
NONE = np.zeros(0, dtype=np.int64)
# The backend names a capsule it has used otherwise than NumPy expects; writing that to the log would cost it time.
sys.unraisablehook = lambda _: None


class TritonPythonModel:
    """One stage. All requests that Triton hands over at once are computed as one batch."""

    def initialize(self, args: dict[str, str]) -> None:
        folder = Path(args["model_repository"])
        config = ServerConfig.model_validate_json((folder / "config.json").read_text())
        self._names: list[str] = json.loads((folder / "users.json").read_text())
        name = args["model_name"]
        self._answer = {"interest": self._interest, "retriever": self._retriever, "reranker": self._reranker}[name]
        self._stage = STAGES[name](config)
        self._clock, self._candidates = clock_of(config), candidates_of(config)
        self._users, self._lists = Layout(user_inputs(*vector_sizes(config))), Layout(candidate_inputs())
        asyncio.run(self._stage.load())
        self._exclude_seen = self._stage.catalogue.view().main_domain() != "e-commerce"

    def finalize(self) -> None:
        asyncio.run(self._stage.unload())

    def execute(self, requests: list[Any]) -> list[Any]:
        return self._answer(requests)

    def _interest(self, requests: list[Any]) -> list[Any]:
        names = [self._names[_array(one, "user")[0, 0]] for one in requests]
        rows = len(names)
        asked = UserRequest(
            user_id=np.array(names, dtype=object),
            now=np.full(rows, self._clock.quantised(self._clock.now())),
            as_of=np.full(rows, np.nan),
            history_offsets=np.zeros(rows + 1, dtype=np.int64),
            history_item=NONE,
            history_type=NONE.astype(np.int8),
            history_at=np.zeros(0),
            history_value=np.zeros(0),
        )
        found = self._stage._infer(asked.to_tensors())
        return [_response({"known": one}) for one in self._users.packed(found)]

    def _retriever(self, requests: list[Any]) -> list[Any]:
        rows = len(requests)
        count = int(_array(requests[0], "count")[0, 0])
        no_text, no_rows = np.full(rows, "", dtype=object), np.zeros(rows + 1, dtype=np.int64)
        asked = CandidateRequest(
            count=np.full(rows, max(self._candidates, count)),
            created_until=np.full(rows, np.inf),
            exclude_seen=np.full(rows, self._exclude_seen),
            exclude_offsets=no_rows,
            exclude_item=NONE,
            domain=no_text,
            language=no_text,
            filter=no_text,
            given=np.zeros(rows, dtype=np.bool_),
            given_offsets=no_rows,
            given_item=NONE,
        )
        found = self._stage._infer({**self._known(requests), **_no_boosts(rows), **asked.to_tensors()})
        return [_response({"candidates": one}) for one in self._lists.packed(found)]

    def _reranker(self, requests: list[Any]) -> list[Any]:
        rows = len(requests)
        candidates = self._lists.unpacked([_array(one, "candidates")[0] for one in requests])
        wanted = {"wanted": np.array([_array(one, "count")[0, 0] for one in requests])}
        wishes = plain_wishes(rows).to_tensors()
        found = self._stage._infer({**self._known(requests), **_no_boosts(rows), **candidates, **wishes, **wanted})
        ranked = RankedBatch.from_tensors(found)
        cuts = ranked.ranked_offsets[1:-1]
        lists = zip(np.split(ranked.ranked_item, cuts), np.split(ranked.ranked_score, cuts), strict=True)
        return [_response({"item_key": items[None], "score": scores[None]}) for items, scores in lists]

    def _known(self, requests: list[Any]) -> Tensors:
        return self._users.unpacked([_array(one, "known")[0] for one in requests])


def _no_boosts(rows: int) -> Tensors:
    return Boosts(np.zeros(rows + 1, np.int64), np.zeros(0, dtype=object), np.zeros(0)).to_tensors()


def _array(request: Any, name: str) -> Any:
    return np.from_dlpack(triton.get_input_tensor_by_name(request, name))


def _response(outputs: dict[str, Any]) -> Any:
    arrays = {name: np.ascontiguousarray(array) for name, array in outputs.items()}
    return triton.InferenceResponse([triton.Tensor.from_dlpack(name, array) for name, array in arrays.items()])
