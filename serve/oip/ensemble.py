"""Models made of models: each step is a request to the queue of its own model, as soon as its inputs are there.

An ensemble has no queue of its own: its requests meet in the batches of its steps.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import ClassVar

from interest.batch import Tensors
from interest.errors import InvalidConfig
from serve.oip.datatypes import Array, datatype_of
from serve.oip.errors import UnknownModel
from serve.oip.message import InferRequest, InferResponse
from serve.oip.model_config import EnsembleStep, ModelConfig, TensorConfig
from serve.oip.model_folders import BUILT_IN
from serve.oip.stage_models import NO_LENGTHS, Lengths

NEWEST = -1
Infer = Callable[[InferRequest], Awaitable[InferResponse]]
Require = Callable[[str, str], Awaitable[ModelConfig]]  # the config of a model and version that are served


class EnsembleModel:
    """`infer`: of the server that holds the models of the steps."""

    lengths: ClassVar[Lengths] = NO_LENGTHS

    def __init__(self, config: ModelConfig, infer: Infer) -> None:
        self._config = config
        self._infer = infer
        self._steps = _steps(config)

    @property
    def config(self) -> ModelConfig:
        return self._config

    async def infer(self, tensors: Tensors) -> Tensors:
        """Errors are those of the first step that fails; the others are cancelled."""
        loop = asyncio.get_running_loop()
        made = {name: loop.create_future() for step in self._steps for name in step.output_map.values()}
        for name, array in tensors.items():
            made[name] = loop.create_future()
            made[name].set_result(array)
        steps = [asyncio.ensure_future(self._run(step, made)) for step in self._steps]
        try:
            await asyncio.gather(*steps)
        finally:
            for task in steps:
                task.cancel()
        return {output.name: made[output.name].result() for output in self._config.output}

    async def _run(self, step: EnsembleStep, made: "Mapping[str, asyncio.Future[Array]]") -> None:
        inputs = {key: await made[name] for key, name in step.input_map.items() if name in made}
        asked = InferRequest(
            model=step.model_name,
            version="" if step.model_version == NEWEST else str(step.model_version),
            inputs=inputs,
            datatypes={name: datatype_of(array) for name, array in inputs.items()},
        )
        outputs = (await self._infer(asked)).outputs
        for key, name in step.output_map.items():
            made[name].set_result(outputs[key])


async def served_steps(config: ModelConfig, require: Require) -> dict[str, ModelConfig]:
    """The models of its steps, and of theirs, by name, itself left out. Raises `InvalidConfig` for one not served."""
    found: dict[str, ModelConfig] = {}
    asked: set[tuple[str, int]] = set()
    waiting = list(_steps(config))
    while waiting:
        step = waiting.pop()
        if step.model_name == config.name or (step.model_name, step.model_version) in asked:
            continue
        asked.add((step.model_name, step.model_version))
        version = "" if step.model_version == NEWEST else str(step.model_version)
        try:
            found[step.model_name] = await require(step.model_name, version)
        except UnknownModel as error:
            raise InvalidConfig(f"ensemble '{config.name}', step '{step.model_name}': {error.message}") from error
        waiting += _steps(found[step.model_name])
    return found


def _steps(config: ModelConfig) -> Sequence[EnsembleStep]:
    """None of a model that is no ensemble, nor of one of Attune's own, which says what it is made of and runs alone."""
    own = config.name in BUILT_IN
    return () if own or config.ensemble_scheduling is None else config.ensemble_scheduling.step


def is_made_of_itself(config: ModelConfig, models: Mapping[str, ModelConfig]) -> bool:
    """At whatever depth: such an ensemble would never answer. `models`: those that steps may name."""
    seen: set[str] = set()
    waiting = [step.model_name for step in _steps(config)]
    while waiting:
        name = waiting.pop()
        if name == config.name:
            return True
        if name not in seen and name in models:
            seen.add(name)
            waiting += [step.model_name for step in _steps(models[name])]
    return False


def checked_ensemble(config: ModelConfig, models: Mapping[str, ModelConfig]) -> ModelConfig:
    """The config, if its steps fit together. Raises `InvalidConfig`.

    `models`: those that steps may name, and of ensembles among them the steps, too.
    """
    steps = _steps(config)
    if not steps:
        raise InvalidConfig(f"ensemble '{config.name}': ensemble_scheduling has no step")
    if config.dynamic_batching is not None:
        raise InvalidConfig(f"ensemble '{config.name}': dynamic_batching belongs to the models of its steps")
    if is_made_of_itself(config, models):
        raise InvalidConfig(f"ensemble '{config.name}': it is made of itself")
    known = {tensor.name: tensor for tensor in config.input}
    waiting = list(steps)
    while waiting:
        ready = [step for step in waiting if all(name in known for name in step.input_map.values())]
        if not ready:
            missing = sorted({name for step in waiting for name in step.input_map.values()} - set(known))
            raise InvalidConfig(f"ensemble '{config.name}': no step can give {missing} before it is needed")
        for step in ready:
            known |= _given(config, step, models, known)
            waiting.remove(step)
    for output in config.output:
        made = known.get(output.name)
        if made is None or made.datatype != output.datatype:
            found = "nothing" if made is None else made.datatype
            raise InvalidConfig(f"ensemble '{config.name}': output '{output.name}' is {output.datatype}, made: {found}")
    return config


def _given(
    config: ModelConfig, step: EnsembleStep, models: Mapping[str, ModelConfig], known: Mapping[str, TensorConfig]
) -> dict[str, TensorConfig]:
    """What a step adds to the tensors of the ensemble."""
    where = f"ensemble '{config.name}', step '{step.model_name}'"
    model = models.get(step.model_name)
    if model is None or model.model_transaction_policy.decoupled:
        raise InvalidConfig(f"{where}: no model of one answer has this name")
    if bool(model.max_batch_size) != bool(config.max_batch_size) or model.max_batch_size < config.max_batch_size:
        raise InvalidConfig(f"{where}: max_batch_size {config.max_batch_size} is above its {model.max_batch_size}")
    inputs = {tensor.name: tensor for tensor in model.input}
    outputs = {tensor.name: tensor for tensor in model.output}
    for kind, mapped, own in (("input", step.input_map, inputs), ("output", step.output_map, outputs)):
        for name in mapped:
            if name not in own:
                raise InvalidConfig(f"{where}: {kind}_map: the model has no {kind} '{name}'")
    for tensor in model.input:
        if tensor.name not in step.input_map and not tensor.optional:
            raise InvalidConfig(f"{where}: input_map: nothing is given to input '{tensor.name}'")
    for name, of_ensemble in step.input_map.items():
        if known[of_ensemble].datatype != inputs[name].datatype:
            raise InvalidConfig(
                f"{where}: input '{name}' is {inputs[name].datatype}, '{of_ensemble}' {known[of_ensemble].datatype}"
            )
    again = set(step.output_map.values()) & set(known)
    if again:
        raise InvalidConfig(f"{where}: output_map: {sorted(again)} exist already")
    return {of_ensemble: outputs[name] for name, of_ensemble in step.output_map.items()}
