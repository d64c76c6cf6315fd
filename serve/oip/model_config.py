"""What a model is to its callers: Triton's model configuration, under Triton's key names."""

from pathlib import PurePosixPath
from typing import Any, Literal

from google.protobuf import json_format
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from tritonclient.grpc import model_config_pb2

from serve.oip.datatypes import DATATYPES

PREFIX = "TYPE_"


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TensorConfig(Part):
    """One input or output; `dims` without the batch, -1 where any size will do."""

    name: str = Field(min_length=1)
    data_type: str
    dims: tuple[int, ...]
    optional: bool = False

    @property
    def datatype(self) -> str:
        """The protocol's name: FP32 of TYPE_FP32, BYTES of TYPE_STRING."""
        name = self.data_type.removeprefix(PREFIX)
        return "BYTES" if name == "STRING" else name

    @field_validator("data_type")
    @classmethod
    def _known(cls, value: str) -> str:
        name = value.removeprefix(PREFIX)
        if not value.startswith(PREFIX) or (name not in DATATYPES and name != "STRING") or name == "BYTES":
            raise ValueError(f"{value}: not one of TYPE_STRING, TYPE_{', TYPE_'.join(sorted(DATATYPES))}")
        return value

    @field_validator("dims")
    @classmethod
    def _sizes(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if any(size < 1 and size != -1 for size in value):
            raise ValueError("sizes are at least 1, or -1 for any")
        return value


class QueuePolicy(Part):
    timeout_action: Literal["REJECT", "DELAY"] = "REJECT"
    default_timeout_microseconds: int = Field(0, ge=0)  # 0: none
    allow_timeout_override: bool = True
    max_queue_size: int = Field(0, ge=0)  # requests; 0: the server's own bound


class DynamicBatching(Part):
    preferred_batch_size: tuple[int, ...] = ()
    max_queue_delay_microseconds: int = Field(0, ge=0)  # accepted and not used: an idle model never waits
    preserve_ordering: bool = False
    priority_levels: int = Field(0, ge=0)
    default_priority_level: int = Field(0, ge=0)
    default_queue_policy: QueuePolicy = QueuePolicy()
    priority_queue_policy: dict[int, QueuePolicy] = {}


class InstanceGroup(Part):
    name: str = ""
    count: int = Field(1, ge=1, le=64)
    kind: Literal["KIND_AUTO", "KIND_CPU", "KIND_GPU"] = "KIND_AUTO"
    gpus: tuple[int, ...] = ()


class Latest(Part):
    num_versions: int = Field(1, ge=1)


class Specific(Part):
    versions: tuple[int, ...]


class VersionPolicy(Part):
    """Which of the versions in the folder are served; one of the three."""

    latest: Latest | None = None
    all: dict[str, Any] | None = None
    specific: Specific | None = None

    def served(self, versions: list[str]) -> list[str]:
        """Of these, ascending; the newest one where nothing is said."""
        if self.all is not None:
            return versions
        if self.specific is not None:
            return [version for version in versions if int(version) in self.specific.versions]
        return versions[-(self.latest or Latest()).num_versions :]


class WarmupInput(Part):
    data_type: str
    dims: tuple[int, ...]
    zero_data: bool = False
    random_data: bool = False


class Warmup(Part):
    name: str = ""
    batch_size: int = Field(1, ge=0)
    count: int = Field(1, ge=0)
    inputs: dict[str, WarmupInput]


class EnsembleStep(Part):
    model_name: str
    model_version: int = -1
    input_map: dict[str, str] = {}
    output_map: dict[str, str] = {}


class EnsembleScheduling(Part):
    step: tuple[EnsembleStep, ...]


class TransactionPolicy(Part):
    decoupled: bool = False


class ParameterValue(Part):
    string_value: str = ""


class ModelConfig(Part):
    """One model. With `max_batch_size` 0 shapes are the `dims` alone, otherwise a batch comes before them."""

    name: str = ""
    platform: str = ""
    backend: str = ""
    max_batch_size: int = Field(0, ge=0)
    input: tuple[TensorConfig, ...] = ()
    output: tuple[TensorConfig, ...] = ()
    dynamic_batching: DynamicBatching | None = None
    instance_group: tuple[InstanceGroup, ...] = ()
    version_policy: VersionPolicy = VersionPolicy()
    model_warmup: tuple[Warmup, ...] = ()
    ensemble_scheduling: EnsembleScheduling | None = None
    model_transaction_policy: TransactionPolicy = TransactionPolicy()
    parameters: dict[str, ParameterValue] = {}
    default_model_filename: str = ""

    @model_validator(mode="after")
    def _sensible(self) -> "ModelConfig":
        for kind, tensors in (("input", self.input), ("output", self.output)):
            names = [tensor.name for tensor in tensors]
            if len(set(names)) < len(names):
                raise ValueError(f"{kind}: a name occurs twice in {names}")
        file = self.default_model_filename
        if file and (file in (".", "..") or PurePosixPath(file).name != file or "\\" in file):
            raise ValueError(f"default_model_filename: {file!r}: a file in the version's own folder is expected")
        batching = self.dynamic_batching
        if batching is not None and self.max_batch_size == 0:
            raise ValueError("dynamic_batching: needs a max_batch_size above 0")
        if batching is not None and any(not 0 < size <= self.max_batch_size for size in batching.preferred_batch_size):
            raise ValueError(f"preferred_batch_size: must be 1 to max_batch_size={self.max_batch_size}")
        return self

    @property
    def is_ensemble(self) -> bool:
        return self.platform == "ensemble" or self.ensemble_scheduling is not None

    @property
    def instances(self) -> int:
        """How many of it are wanted, over all of its groups."""
        return sum(group.count for group in self.instance_group) or 1

    @property
    def on_gpu(self) -> bool:
        return any(group.kind == "KIND_GPU" for group in self.instance_group)

    def shape_of(self, tensor: TensorConfig) -> list[int]:
        """The whole shape, -1 for the batch."""
        return [-1, *tensor.dims] if self.max_batch_size else list(tensor.dims)

    def to_json(self) -> dict[str, Any]:
        """As Triton answers it: without what is not set."""
        raw = self.model_dump(mode="json", exclude_none=True)
        for output in raw["output"]:
            del output["optional"]  # a word for inputs
        for warmup in raw["model_warmup"]:
            for wanted in warmup["inputs"].values():  # one of several ways to fill it: only the chosen one is said
                for kind in ("zero_data", "random_data"):
                    if not wanted[kind]:
                        del wanted[kind]
        return raw

    def to_proto(self) -> Any:
        """`inference.ModelConfig`."""
        return json_format.ParseDict(self.to_json(), model_config_pb2.ModelConfig())
