"""The models of the differential test: one config and one computation each, for Triton and for Attune."""

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

from google.protobuf import text_format

from benchmarks.peers.triton_server import TritonModel
from interest.batch import Tensors
from serve.admission import Permits
from serve.config import Limits
from serve.oip.added_models import AddedModels
from serve.oip.deployed import NoDeployments
from serve.oip.entries import FixedEntry
from serve.oip.model_config import DynamicBatching, ModelConfig
from serve.oip.server import InferenceServer
from serve.oip.stage_arrays import tensor
from serve.oip.stage_models import NO_LENGTHS, Lengths
from serve.routes.api import Readiness

VERSION = "1"
BATCH = 8
SAME = ("FP32", "FP64", "FP16", "INT64", "INT32", "INT8", "UINT8", "UINT64", "BOOL", "BYTES")
NO_REPOSITORY = "memory://none"
BACKEND = Path(__file__).parent / "triton_model.py"


def _config(name: str, inputs: Any, outputs: Any, max_batch_size: int = BATCH) -> ModelConfig:
    batching = DynamicBatching() if max_batch_size else None
    return ModelConfig(
        name=name,
        backend="python",
        max_batch_size=max_batch_size,
        input=inputs,
        output=outputs,
        dynamic_batching=batching,
    )


def _same(name: str, data_type: str, *dims: int, max_batch_size: int = BATCH) -> ModelConfig:
    data_type = data_type.replace("BYTES", "STRING")
    return _config(name, (tensor("IN", data_type, *dims),), (tensor("OUT", data_type, *dims),), max_batch_size)


CONFIGS = (
    *(_same(f"same_{datatype.lower()}", datatype, -1) for datatype in SAME),
    _same("table", "FP32", 2, -1),
    _same("single", "FP32", 3, max_batch_size=0),
    _config(
        "add",
        (tensor("A", "INT64", 4), tensor("B", "INT64", 4)),
        (tensor("SUM", "INT64", 4), tensor("DIFFERENCE", "INT64", 4)),
    ),
)
TRITON_MODELS = [TritonModel(one.name, text_format.MessageToString(one.to_proto()), BACKEND) for one in CONFIGS]


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """What triton_model.py computes, as a model of Attune's."""

    lengths: ClassVar[Lengths] = NO_LENGTHS

    config: ModelConfig

    async def infer(self, tensors: Tensors) -> Tensors:
        if "IN" in tensors:
            return {"OUT": tensors["IN"]}
        return {"SUM": tensors["A"] + tensors["B"], "DIFFERENCE": tensors["A"] - tensors["B"]}


def attune_api() -> Any:
    """What the protocol's routes and its gRPC service need of `serve.routes.api.Api`."""
    models = {config.name: FixedEntry(Arithmetic(config), VERSION, in_flight=1) for config in CONFIGS}
    readiness = Readiness()
    readiness.ready = True
    return SimpleNamespace(
        inference=InferenceServer("attune", "1", models, 30, AddedModels(NO_REPOSITORY, models, NoDeployments())),
        readiness=readiness,
        limits=Limits(),
        permits=Permits(256),
    )
