"""Does a request fit its model? The sentences are those that Triton's users know."""

from collections.abc import Mapping, Sequence
from typing import Any

from interest.batch import Tensors
from serve.oip.datatypes import datatype_of
from serve.oip.errors import InvalidInput, ModelFailed
from serve.oip.message import InferRequest, Parameter
from serve.oip.model_config import ModelConfig, TensorConfig

BATCH_NOTE = (
    "NOTE: Setting a non-zero max_batch_size in the model config requires a batch dimension to be prepended to each "
    "input shape. If you want to specify the full shape including the batch dim in your input dims config, try "
    "setting max_batch_size to zero. See the model configuration docs for more info on max_batch_size."
)


def checked_rows(request: InferRequest, config: ModelConfig) -> int:
    """How many rows the request has; 1 of a model without a batch. Raises `InvalidInput` for what does not fit."""
    prefix = f"[request id: {request.id or '<id_unknown>'}] "
    expected = {tensor.name: tensor for tensor in config.input}
    for name in request.inputs:
        if name not in expected:
            raise InvalidInput(f"{prefix}unexpected inference input '{name}' for model '{config.name}'")
    missing = [name for name, tensor in expected.items() if name not in request.inputs and not tensor.optional]
    if missing:
        least = sum(not tensor.optional for tensor in config.input)
        raise InvalidInput(
            f"{prefix}expected {_amount(least, len(expected))} inputs but got {len(request.inputs)} inputs for model "
            f"'{config.name}'. Got input(s) {sorted(request.inputs)}, but missing required input(s) {missing}. Please "
            "provide all required input(s)."
        )
    for name in request.inputs:
        _check_tensor(prefix, request, config, expected[name])
    _check_outputs(prefix, request, config)
    return _rows(prefix, request, config)


def integer_parameter(parameters: Mapping[str, Parameter], name: str, default: int = 0) -> int:
    """A reserved parameter that counts something. Raises `InvalidInput` when it is no integer of at least 0."""
    value = parameters.get(name, default)
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise InvalidInput(f"parameter '{name}' is {value!r}: a non-negative integer is expected")
    return value


def config_parameter(model: str, parameters: Any) -> str:
    """The config that a load is to take in place of the file's, JSON; "" for none. Raises `InvalidInput`."""
    what = f"failed to load '{model}'"
    if not isinstance(parameters, Mapping):
        raise InvalidInput(f"{what}: 'parameters' is not an object")
    for name in parameters:
        if name.startswith("file:"):
            raise InvalidInput(f"{what}: parameter '{name}': files come from the model repository alone; put it there")
        if name != "config":
            raise InvalidInput(f"{what}: parameter '{name}' is not supported, only 'config' is")
    config = parameters.get("config", "")
    if not isinstance(config, str) or ("config" in parameters and not config):
        raise InvalidInput(f"{what}: parameter 'config' is {config!r}: a config as JSON in a string is expected")
    return config


def refuse_sequences(parameters: Mapping[str, Parameter]) -> None:
    """No model of this server keeps state between requests: a sequence would be answered as if it had none."""
    if parameters.get("sequence_id", 0) not in (0, ""):
        raise InvalidInput(
            f"parameter 'sequence_id' is {parameters['sequence_id']!r}: no model of this server is stateful"
        )


def checked_outputs(outputs: Tensors, config: ModelConfig, rows: int) -> Tensors:
    """What a model of a user's gave, in the configured types. Raises `ModelFailed` for a wrong name, type or shape."""
    for tensor in config.output:
        if tensor.name not in outputs:
            raise ModelFailed(f"model '{config.name}' gave no output '{tensor.name}'")
        array = outputs[tensor.name]
        shape = [rows, *tensor.dims] if config.max_batch_size else list(tensor.dims)
        if datatype_of(array) != tensor.datatype or not _fits(array.shape, shape):
            raise ModelFailed(
                f"model '{config.name}' gave output '{tensor.name}' as {datatype_of(array)} {list(array.shape)}, its "
                f"config says {tensor.datatype} {shape}"
            )
    return {tensor.name: outputs[tensor.name] for tensor in config.output}


def _check_tensor(prefix: str, request: InferRequest, config: ModelConfig, tensor: TensorConfig) -> None:
    array, datatype = request.inputs[tensor.name], request.datatypes[tensor.name]
    if datatype != tensor.datatype:
        raise InvalidInput(
            f"{prefix}inference input '{tensor.name}' data-type is '{datatype}', but model '{config.name}' expects "
            f"'{tensor.datatype}'"
        )
    shape = config.shape_of(tensor)
    if not _fits(array.shape, shape):
        note = f". {BATCH_NOTE}" if config.max_batch_size else ""
        raise InvalidInput(
            f"{prefix}unexpected shape for input '{tensor.name}' for model '{config.name}'. Expected "
            f"{_shape(shape)}, got {_shape(array.shape)}{note}"
        )


def _check_outputs(prefix: str, request: InferRequest, config: ModelConfig) -> None:
    known = {tensor.name for tensor in config.output}
    for output in request.outputs:
        if output.name not in known:
            raise InvalidInput(f"{prefix}unexpected inference output '{output.name}' for model '{config.name}'")


def _rows(prefix: str, request: InferRequest, config: ModelConfig) -> int:
    if not config.max_batch_size:
        return 1
    sizes = {name: array.shape[0] for name, array in request.inputs.items()}
    rows = next(iter(sizes.values()), 1)
    for name, size in sizes.items():
        if size != rows:
            raise InvalidInput(
                f"{prefix}input '{name}' batch size does not match other inputs for '{config.name}': {size} and {rows}"
            )
    if rows > config.max_batch_size:
        raise InvalidInput(
            f"{prefix}inference request batch-size must be <= {config.max_batch_size} for '{config.name}'"
        )
    if rows < 1:
        raise InvalidInput(f"{prefix}inference request batch-size must be >= 1 for '{config.name}'")
    return rows


def _fits(shape: Sequence[int], wanted: Sequence[int]) -> bool:
    return len(shape) == len(wanted) and all(w in (-1, size) for size, w in zip(shape, wanted, strict=True))


def _amount(least: int, most: int) -> str:
    return str(most) if least == most else f"between {least} and {most}"


def _shape(shape: Sequence[int]) -> str:
    return f"[{','.join(map(str, shape))}]"
