"""One inference request and its answer, the same for HTTP and gRPC."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from interest.batch import Tensors

Parameter = bool | int | float | str


@dataclass(frozen=True, slots=True)
class WantedOutput:
    """`classes` above 0 asks for the so many largest values as "value:index" instead of the tensor."""

    name: str
    binary: bool | None = None  # None: as the request says for all
    classes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class InferRequest:
    """Arrays as they came, not checked against the model yet."""

    model: str
    version: str = ""  # "": the newest one served
    id: str = ""
    inputs: Tensors
    datatypes: Mapping[str, str]  # of each input, as the request says
    outputs: tuple[WantedOutput, ...] = ()  # none: all of the model's
    parameters: Mapping[str, Parameter] = field(default_factory=dict)

    @property
    def binary_output(self) -> bool:
        """Whether outputs that do not say otherwise are wanted in binary."""
        return bool(self.parameters.get("binary_data_output", False))


@dataclass(frozen=True, slots=True, kw_only=True)
class InferResponse:
    model: str
    version: str
    id: str = ""
    outputs: Tensors
    parameters: Mapping[str, Parameter] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a version of a model computed for one batch, or for one request of it."""

    version: str
    tensors: Tensors
