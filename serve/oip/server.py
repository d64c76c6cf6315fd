"""The protocol's server at one ingress replica: its models, their queues, their numbers; the same for HTTP and gRPC."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from interest.errors import AttuneError, DeadlineExceeded
from serve.oip.batching import DynamicBatcher
from serve.oip.checks import checked_rows, integer_parameter, refuse_sequences
from serve.oip.classification import wanted_outputs
from serve.oip.datatypes import from_json
from serve.oip.errors import InvalidInput, UnknownModel, Unsupported
from serve.oip.message import InferRequest, InferResponse
from serve.oip.model_config import DynamicBatching, ModelConfig, TensorConfig
from serve.oip.pipeline_models import GeneratorModel
from serve.oip.ragged import trimmed
from serve.oip.stage_models import ServedModel
from serve.oip.statistics import NOTHING, ModelStatistics, as_json, totals

EXTENSIONS = (
    "classification",
    "sequence",
    "model_repository",
    "schedule_policy",
    "model_configuration",
    "binary_tensor_data",
    "parameters",
    "statistics",
    "generate",
)


@dataclass(slots=True)
class _Entry:
    model: ServedModel
    version: str
    statistics: ModelStatistics
    batcher: DynamicBatcher
    config: ModelConfig = field(init=False)

    def __post_init__(self) -> None:
        self.config = self.model.config


class InferenceServer:
    """Errors of every method: `UnknownModel` for a name or version that is not served."""

    def __init__(
        self, name: str, version: str, models: Mapping[str, tuple[str, ServedModel]], in_flight: int, timeout_s: float
    ) -> None:
        """`models`: by name, the version and the model; `in_flight`: batches that one model computes at once.

        `timeout_s`: of a whole answer; a decoupled model has its own.
        """
        self._timeout_s = timeout_s
        self.name = name
        self.version = version
        self._entries: dict[str, _Entry] = {}
        for model_name, (model_version, model) in models.items():
            config, statistics = model.config, ModelStatistics(model_name, model_version)
            batcher = DynamicBatcher(
                model.infer, config.max_batch_size, config.dynamic_batching or DynamicBatching(), statistics, in_flight
            )
            self._entries[model_name] = _Entry(model, model_version, statistics, batcher)

    async def close(self) -> None:
        await asyncio.gather(*(entry.batcher.close() for entry in self._entries.values()))

    def server_metadata(self) -> dict[str, Any]:
        return {"name": self.name, "version": self.version, "extensions": list(EXTENSIONS)}

    def require(self, model: str, version: str = "") -> ModelConfig:
        """The config of a model that is served."""
        return self._entry(model, version).config

    def model_metadata(self, model: str, version: str = "") -> dict[str, Any]:
        entry = self._entry(model, version)
        config = entry.config
        return {
            "name": model,
            "versions": [entry.version],
            "platform": config.platform or config.backend,
            "inputs": [_described(config, one) for one in config.input],
            "outputs": [_described(config, one) for one in config.output],
        }

    def statistics(self, model: str = "", version: str = "") -> dict[str, Any]:
        """Of one model, or of all; summed over the replicas of this node."""
        names = [model] if model else sorted(self._entries)
        entries = [self._entry(name, version) for name in names]
        found = totals()
        return {
            "model_stats": [
                as_json(name, entry.version, found.get((name, entry.version), NOTHING))
                for name, entry in zip(names, entries, strict=True)
            ]
        }

    def index(self) -> list[dict[str, str]]:
        """Every model with its version and state; all of them are ready as long as the server runs."""
        return [
            {"name": name, "version": entry.version, "state": "READY", "reason": ""}
            for name, entry in sorted(self._entries.items())
        ]

    def load(self, model: str) -> None:
        """Models of the pipeline are loaded as long as the server runs: nothing is left to do for them."""
        self._entry(model, "")

    def unload(self, model: str) -> None:
        """Raises `InvalidInput`: without any of its models the pipeline could not answer."""
        self._entry(model, "")
        raise InvalidInput(f"failed to unload '{model}': the pipeline needs it as long as the server runs")

    async def infer(self, request: InferRequest) -> InferResponse:
        """One answer. Raises `InvalidInput` for what does not fit, `QueueFull`, and what the model raises."""
        entry = self._entry(request.model, request.version)
        rows = checked_rows(request, entry.config)
        refuse_sequences(request.parameters)
        priority = integer_parameter(request.parameters, "priority")
        timeout_us = integer_parameter(request.parameters, "timeout")
        try:
            async with asyncio.timeout(None if entry.config.model_transaction_policy.decoupled else self._timeout_s):
                outputs = await entry.batcher.submit(request.inputs, rows, priority, timeout_us)
        except TimeoutError as error:
            raise DeadlineExceeded(f"{request.model}: no answer within {self._timeout_s:.0f} s") from error
        outputs = trimmed(outputs, entry.model.lengths)
        batched = entry.config.max_batch_size > 0
        return InferResponse(
            model=request.model,
            version=entry.version,
            id=request.id,
            outputs=wanted_outputs(outputs, request.outputs, batched),
        )

    async def stream(self, request: InferRequest) -> AsyncGenerator[InferResponse, None]:
        """Answer after answer of a decoupled model; the one answer of any other. Closing it stops the work."""
        entry = self._entry(request.model, request.version)
        if not isinstance(entry.model, GeneratorModel):
            yield await self.infer(request)
            return
        checked_rows(request, entry.config)
        async with aclosing(entry.model.stream(request.inputs)) as growing:
            async for outputs in growing:
                chosen = wanted_outputs(outputs, request.outputs, False)
                yield InferResponse(model=request.model, version=entry.version, id=request.id, outputs=chosen)

    def generate_request(self, model: str, version: str, body: Mapping[str, Any]) -> InferRequest:
        """The generate extension: keys that are inputs become tensors, the others parameters."""
        entry = self._entry(model, version)
        known = {tensor.name: tensor for tensor in entry.config.input}
        inputs = {key: _as_tensor(known[key], value, entry.config) for key, value in body.items() if key in known}
        rest = {key: value for key, value in body.items() if key not in known and key not in ("id", "parameters")}
        own = body.get("parameters", {})
        if not isinstance(own, dict):
            raise InvalidInput("'parameters': an object is expected")
        inputs |= {key: _as_tensor(known[key], value, entry.config) for key, value in own.items() if key in known}
        rest |= {key: value for key, value in own.items() if key not in known}
        return InferRequest(
            model=model,
            version=version,
            id=str(body.get("id", "")),
            inputs=inputs,
            datatypes={name: known[name].datatype for name in inputs},
            parameters={key: value for key, value in rest.items() if isinstance(value, bool | int | float | str)},
        )

    def _entry(self, model: str, version: str) -> _Entry:
        entry = self._entries.get(model)
        if entry is None:
            raise UnknownModel(f"Request for unknown model: '{model}' is not found")
        if version not in ("", entry.version):
            raise UnknownModel(f"Request for unknown model: '{model}' version {version} is not found")
        return entry


def generated_json(response: InferResponse) -> dict[str, Any]:
    """The generate extension's answer: each output under its name, a single value not in a list."""
    found: dict[str, Any] = {"model_name": response.model, "model_version": response.version}
    if response.id:
        found["id"] = response.id
    for name, array in response.outputs.items():
        values = [one.decode() if isinstance(one, bytes) else one for one in array.ravel().tolist()]
        found[name] = values[0] if len(values) == 1 else values
    return found


def whole(responses: Sequence[InferResponse]) -> InferResponse:
    """The only answer. Raises `Unsupported` for a model that gave several."""
    if len(responses) != 1:
        raise Unsupported(f"generate expects model to produce exactly 1 response, got {len(responses)}")
    return responses[0]


def _described(config: ModelConfig, tensor: TensorConfig) -> dict[str, Any]:
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": config.shape_of(tensor)}


def _as_tensor(tensor: TensorConfig, value: Any, config: ModelConfig) -> np.ndarray[Any, Any]:
    values = value if isinstance(value, list) else [value]
    shape = [1, len(values)] if config.max_batch_size else [len(values)]
    try:
        return from_json(tensor.name, tensor.datatype, shape, values)
    except AttuneError as error:
        raise InvalidInput(f"attempt to convert '{tensor.name}' to {tensor.datatype}: {error.message}") from error
