"""model.py of the three trivial stages in Triton's Python backend; the model's name says which one it is."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as triton

from benchmarks.peers import trivial


class TritonPythonModel:
    """One stage. All requests that Triton hands over at once are computed as one batch."""

    def initialize(self, args: dict[str, str]) -> None:
        self._answer = {"interest": self._interest, "retriever": self._retriever, "reranker": self._reranker}[
            args["model_name"]
        ]
        told = json.loads((Path(args["model_repository"]) / "stages.json").read_text())
        self._item_ids, self._rank = np.array(told["items"], dtype=np.object_), told["rank"]

    def execute(self, requests: list[Any]) -> list[Any]:
        return self._answer(requests)

    def _interest(self, requests: list[Any]) -> list[Any]:
        users = _joined(requests, "user_id")
        vectors = trivial.interests([name.decode() for name in users[:, 0]], self._rank)
        return _answers(requests, {"vector": vectors})

    def _retriever(self, requests: list[Any]) -> list[Any]:
        counts = _joined(requests, "count")
        items, scores = trivial.candidates(_joined(requests, "vector"), int(counts[0, 0]))
        return _answers(requests, {"candidate_item": items, "candidate_score": np.ascontiguousarray(scores)})

    def _reranker(self, requests: list[Any]) -> list[Any]:
        items, scores = trivial.ranked(_joined(requests, "candidate_item"), _joined(requests, "candidate_score"))
        return _answers(requests, {"item_id": self._item_ids[items], "score": scores})


def _joined(requests: list[Any], name: str) -> Any:
    parts = [triton.get_input_tensor_by_name(request, name).as_numpy() for request in requests]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _answers(requests: list[Any], outputs: dict[str, Any]) -> list[Any]:
    """A response a request; each of them has one row."""
    return [
        triton.InferenceResponse([triton.Tensor(name, array[row : row + 1]) for name, array in outputs.items()])
        for row in range(len(requests))
    ]
