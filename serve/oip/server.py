"""The protocol's server at one ingress replica: its models, their queues, their numbers; the same for HTTP and gRPC."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any

import numpy as np

from interest.errors import AttuneError, DeadlineExceeded, InvalidConfig
from serve.oip.added_models import AddedModels
from serve.oip.batching import DynamicBatcher
from serve.oip.checks import checked_rows, config_parameter, integer_parameter, refuse_sequences
from serve.oip.classification import wanted_outputs
from serve.oip.datatypes import from_json
from serve.oip.entries import Entry, FixedEntry, unknown
from serve.oip.errors import InvalidInput, UnknownModel, Unsupported
from serve.oip.message import InferRequest, InferResponse
from serve.oip.model_config import ModelConfig, TensorConfig
from serve.oip.pipeline_models import GeneratorModel
from serve.oip.ragged import trimmed
from serve.oip.statistics import NOTHING, as_json, totals

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
NO_PARAMETERS: Mapping[str, Any] = {}


class InferenceServer:
    """Errors of every method: `UnknownModel` for a name or version that is not served."""

    def __init__(
        self, name: str, version: str, entries: Mapping[str, Entry], timeout_s: float, added: AddedModels
    ) -> None:
        """`timeout_s`: of a whole answer; one that is decoupled has its own. `added`: later models, and ensembles."""
        self._timeout_s = timeout_s
        self.name = name
        self.version = version
        self._entries = entries
        self._added = added
        added.join(self)

    async def start(self) -> None:
        """Returns when it is known what every model of the start serves; of ensembles callers ask."""
        self._added.start()
        await asyncio.gather(*(entry.start() for entry in self._entries.values()))

    async def close(self) -> None:
        await self._added.close()
        await asyncio.gather(*(entry.close() for entry in self._entries.values()))

    def server_metadata(self) -> dict[str, Any]:
        return {"name": self.name, "version": self.version, "extensions": list(EXTENSIONS)}

    async def require(self, model: str, version: str = "") -> ModelConfig:
        """The config of a model that is served. Raises `UnknownModel` otherwise."""
        return (await self._served(model, version))[0].config

    async def is_ready(self, model: str, version: str = "") -> bool:
        """Whether a model of the repository is served. Raises `UnknownModel` for what is not there."""
        entry = await self._entry(model)
        await entry.refresh()
        states = [one for one in entry.versions if version in ("", one.version)]
        if not states:
            raise unknown(model, version)
        return any(one.state == "READY" for one in states)

    async def model_metadata(self, model: str, version: str = "") -> dict[str, Any]:
        entry, _ = await self._served(model, version)
        config = entry.config
        return {
            "name": model,
            "versions": [one.version for one in entry.versions if one.state == "READY"],
            "platform": config.platform or config.backend,
            "inputs": [_described(config, one) for one in config.input],
            "outputs": [_described(config, one) for one in config.output],
        }

    async def statistics(self, model: str = "", version: str = "") -> dict[str, Any]:
        """Of one model, or of all; summed over the replicas of this node."""
        if model:
            await self.require(model, version)
        found, entries = totals(), self._all()
        return {
            "model_stats": [
                as_json(name, one.version, found.get((name, one.version), NOTHING))
                for name in ([model] if model else sorted(entries))
                for one in entries[name].versions
                if one.state == "READY" and version in ("", one.version)
            ]
        }

    async def index(self, ready: bool = False) -> list[dict[str, str]]:
        """Every model with its versions and their states; `ready`: only those that are served."""
        await self._added.refresh()
        entries = self._all()
        await asyncio.gather(*(entry.refresh() for entry in entries.values()))
        known = [
            {"name": name, "version": one.version, "state": one.state, "reason": one.reason}
            for name, entry in entries.items()
            for one in entry.versions
            if one.state == "READY" or not ready
        ]
        return sorted(known if ready else known + await self._added.index(), key=lambda one: one["name"])

    async def load(self, model: str, parameters: Mapping[str, Any] = NO_PARAMETERS) -> None:
        """Serve what the model's folder says now. Raises `InvalidInput` when it cannot be: what was served, is.

        `parameters`: Triton's `config`, a JSON text that holds in place of the config file until the next load.
        """
        override = config_parameter(model, parameters)
        try:
            if model in self._entries:
                await self._added.changed(model, partial(self._entries[model].load, override))
            else:
                await self._added.load(model, override)
        except InvalidConfig as error:
            raise InvalidInput(error.message) from error

    async def unload(self, model: str) -> None:
        """Raises `InvalidInput` for a model that the server needs."""
        if model in self._entries:
            await self._added.changed(model, self._entries[model].unload)
        else:
            await self._added.unload(model)

    async def infer(self, request: InferRequest) -> InferResponse:
        """One answer. Raises `InvalidInput` for what does not fit, `QueueFull`, and what the model raises."""
        try:
            async with asyncio.timeout(self._timeout_s) as limit:
                entry, batcher = await self._served(request.model, request.version)
                rows = checked_rows(request, entry.config)
                refuse_sequences(request.parameters)
                priority = integer_parameter(request.parameters, "priority")
                timeout_us = integer_parameter(request.parameters, "timeout")
                if entry.config.model_transaction_policy.decoupled:
                    limit.reschedule(None)
                answer = await batcher.submit(request.inputs, rows, priority, timeout_us)
        except TimeoutError as error:
            raise DeadlineExceeded(f"{request.model}: no answer within {self._timeout_s:.0f} s") from error
        outputs = trimmed(answer.tensors, entry.lengths)
        batched = entry.config.max_batch_size > 0
        return InferResponse(
            model=request.model,
            version=answer.version,
            id=request.id,
            outputs=wanted_outputs(outputs, request.outputs, batched),
        )

    async def stream(self, request: InferRequest) -> AsyncGenerator[InferResponse, None]:
        """Answer after answer of a decoupled model; the one answer of any other. Closing it stops the work."""
        entry = await self._entry(request.model)
        if not (isinstance(entry, FixedEntry) and isinstance(entry.model, GeneratorModel)):
            yield await self.infer(request)
            return
        config = await self.require(request.model, request.version)
        checked_rows(request, config)
        version = entry.versions[-1].version
        async with aclosing(entry.model.stream(request.inputs)) as growing:
            async for outputs in growing:
                chosen = wanted_outputs(outputs, request.outputs, False)
                yield InferResponse(model=request.model, version=version, id=request.id, outputs=chosen)

    async def generate_request(self, model: str, version: str, body: Mapping[str, Any]) -> InferRequest:
        """The generate extension: keys that are inputs become tensors, the others parameters."""
        config = await self.require(model, version)
        known = {tensor.name: tensor for tensor in config.input}
        inputs = {key: _as_tensor(known[key], value, config) for key, value in body.items() if key in known}
        rest = {key: value for key, value in body.items() if key not in known and key not in ("id", "parameters")}
        own = body.get("parameters", {})
        if not isinstance(own, dict):
            raise InvalidInput("'parameters': an object is expected")
        inputs |= {key: _as_tensor(known[key], value, config) for key, value in own.items() if key in known}
        rest |= {key: value for key, value in own.items() if key not in known}
        return InferRequest(
            model=model,
            version=version,
            id=str(body.get("id", "")),
            inputs=inputs,
            datatypes={name: known[name].datatype for name in inputs},
            parameters={key: value for key, value in rest.items() if isinstance(value, bool | int | float | str)},
        )

    async def _served(self, model: str, version: str) -> tuple[Entry, DynamicBatcher]:
        """A model and the queue before a version of it; asks its replicas before it says that there is none."""
        entry = await self._entry(model)
        try:
            return entry, entry.batcher(version)
        except UnknownModel:
            await entry.refresh()
        entry = await self._entry(model)  # it may have been withdrawn meanwhile
        return entry, entry.batcher(version)

    async def _entry(self, model: str) -> Entry:
        """A model of this name; asks what other ingress replicas have loaded before it says that there is none."""
        if model in self._entries:
            return self._entries[model]
        if model not in self._added.entries:
            await self._added.refresh()
        if model not in self._added.entries:
            raise unknown(model)
        return self._added.entries[model]

    def _all(self) -> dict[str, Entry]:
        return {**self._entries, **self._added.entries}


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
