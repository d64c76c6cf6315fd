"""Ensembles: steps run when their inputs are there, through the queues of their models; what does not fit is named."""

from typing import Any

import numpy as np
import pytest

from interest.errors import InvalidConfig
from serve.oip.ensemble import EnsembleModel, checked_ensemble
from serve.oip.message import InferRequest, InferResponse
from serve.oip.model_config import ModelConfig


def tensors(*names: str, data_type: str = "TYPE_FP32") -> list[dict[str, Any]]:
    return [{"name": name, "data_type": data_type, "dims": [1]} for name in names]


def config(*steps: dict[str, Any], **changes: Any) -> ModelConfig:
    raw = {"name": "e", "platform": "ensemble", "max_batch_size": 4, "input": tensors("a"), "output": tensors("z")}
    return ModelConfig.model_validate({**raw, "ensemble_scheduling": {"step": list(steps)}, **changes})


def step(model: str, inputs: dict[str, str], outputs: dict[str, str]) -> dict[str, Any]:
    return {"model_name": model, "input_map": inputs, "output_map": outputs}


ADD = ModelConfig.model_validate(
    {"name": "add", "max_batch_size": 8, "input": tensors("x", "y"), "output": tensors("sum")}
)
DOUBLE = ModelConfig.model_validate(
    {"name": "double", "max_batch_size": 8, "input": tensors("x"), "output": tensors("twice")}
)
MODELS = {"add": ADD, "double": DOUBLE}
DIAMOND = (
    step("add", {"x": "b", "y": "c"}, {"sum": "z"}),
    step("double", {"x": "a"}, {"twice": "b"}),
    step("double", {"x": "b"}, {"twice": "c"}),
)


async def infer(asked: InferRequest) -> InferResponse:
    one = asked.inputs["x"]
    outputs = {"twice": 2 * one} if asked.model == "double" else {"sum": one + asked.inputs["y"]}
    return InferResponse(model=asked.model, version="1", outputs=outputs)


async def test_steps_run_in_the_order_of_their_tensors_not_of_the_file() -> None:
    model = EnsembleModel(checked_ensemble(config(*DIAMOND), MODELS), infer)
    answer = await model.infer({"a": np.ones((2, 1), np.float32)})
    assert {name: array.tolist() for name, array in answer.items()} == {"z": [[6.0], [6.0]]}


async def test_a_step_that_fails_fails_the_ensemble_with_its_own_error() -> None:
    async def broken(asked: InferRequest) -> InferResponse:
        if asked.model == "add":
            raise ValueError("overflow")
        return await infer(asked)

    with pytest.raises(ValueError, match="overflow"):
        await EnsembleModel(config(*DIAMOND), broken).infer({"a": np.ones((2, 1), np.float32)})


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (config(), "no step"),
        (config(step("nope", {}, {})), "'nope'"),
        (config(step("double", {"q": "a"}, {"twice": "z"})), "no input 'q'"),
        (config(step("double", {"x": "a"}, {"q": "z"})), "no output 'q'"),
        (config(step("add", {"x": "a"}, {"sum": "z"})), "nothing is given to input 'y'"),
        (config(step("double", {"x": "b"}, {"twice": "b"})), r"no step can give \['b'\]"),
        (config(step("double", {"x": "a"}, {"twice": "a"})), "exist already"),
        (config(step("double", {"x": "a"}, {"twice": "b"})), "made: nothing"),
        (config(step("double", {"x": "a"}, {"twice": "z"}), max_batch_size=16), "above its 8"),
        (config(step("double", {"x": "a"}, {"twice": "z"}), dynamic_batching={}), "belongs to the models"),
        (config(step("double", {"x": "a"}, {"twice": "z"}), input=tensors("a", data_type="TYPE_INT64")), "'a' INT64"),
        (config(step("double", {"x": "a"}, {"twice": "z"}), output=tensors("z", data_type="TYPE_BF16")), "is BF16"),
    ],
)
def test_steps_that_do_not_fit_are_refused_by_name(made: ModelConfig, message: str) -> None:
    with pytest.raises(InvalidConfig, match=message):
        checked_ensemble(made, MODELS)
