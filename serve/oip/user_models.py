"""What a user's model folder holds, loaded: a Python class or an ONNX file behind the same three calls."""

import asyncio
import importlib.util
import inspect
import itertools
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from interest.batch import Tensors
from interest.errors import InvalidConfig
from serve.oip.datatypes import dtype_of
from serve.oip.model_config import ModelConfig, Warmup

BACKENDS = ("python", "onnxruntime")
CLASS_NAME = "Model"
FILES = {"python": "model.py", "onnxruntime": "model.onnx"}
_LOADS = itertools.count()


class UserModel(Protocol):
    """What a `model.py` defines as `class Model`. Each method may be `async`."""

    def infer(self, tensors: Tensors) -> Tensors:
        """One batch: named arrays in, named arrays out. BYTES come as bytes."""
        ...


@runtime_checkable
class Loads(Protocol):
    """A model that reads something before it is asked."""

    def load(self, folder: Path, parameters: Mapping[str, str]) -> None:
        """Read the artefacts of a version from its folder; `parameters` are those of the config."""


@runtime_checkable
class Unloads(Protocol):
    """A model that has something to free."""

    def unload(self) -> None:
        """Free what `load` took; no request is under way."""


def make_user_model(folder: Path, config: ModelConfig) -> Any:
    """The model in a version's folder, not loaded yet. Raises `InvalidConfig`, and what the user's code raises."""
    return _python_model(folder, config) if config.backend == "python" else _onnx_model(folder, config)


def servable(config: ModelConfig) -> ModelConfig:
    """The config of a user's model, if it can be served. Raises `InvalidConfig`."""
    if not config.input or not config.output:
        raise InvalidConfig(f"{config.name}: at least one input and one output are needed")
    if config.model_transaction_policy.decoupled:
        raise InvalidConfig(f"{config.name}: model_transaction_policy.decoupled: only the generator answers in parts")
    if config.is_ensemble:
        return config
    if config.backend not in BACKENDS:
        raise InvalidConfig(f"{config.name}: backend {config.backend!r} is not one of {', '.join(BACKENDS)}")
    return config


async def called(method: Callable[..., Any], pool: Executor, *arguments: Any) -> Any:
    """The result of a method of a user's: plain functions run in the pool, coroutines here."""
    if inspect.iscoroutinefunction(method):
        result: Awaitable[Any] = method(*arguments)
        return await result
    return await asyncio.get_running_loop().run_in_executor(pool, method, *arguments)


def _python_model(folder: Path, config: ModelConfig) -> Any:
    """Its module is a package of its own each time: `from .other import name` finds the files beside it."""
    path = folder / (config.default_model_filename or FILES["python"])
    if not path.is_file():
        raise InvalidConfig(f"{config.name} version {folder.name}: no file {path.name}")
    name = f"attune_model_{config.name}_{folder.name}_{next(_LOADS)}"
    loader = _Source(name, str(path))
    spec = importlib.util.spec_from_file_location(name, path, loader=loader, submodule_search_locations=[str(folder)])
    assert spec is not None, "a loader was given"
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    loader.exec_module(module)
    made = getattr(module, CLASS_NAME, None)
    if not inspect.isclass(made) or not callable(getattr(made, "infer", None)):
        raise InvalidConfig(f"{config.name} version {folder.name}: {path.name} has no class {CLASS_NAME} with `infer`")
    return made()


class _Source(SourceFileLoader):
    """Writes no byte code: a file changed within the second it was read in would not be read again."""

    def set_data(self, *arguments: Any, **options: Any) -> None:
        """Nothing."""


def _onnx_model(folder: Path, config: ModelConfig) -> "_OnnxModel":
    path = folder / (config.default_model_filename or FILES["onnxruntime"])
    if not path.is_file():
        raise InvalidConfig(f"{config.name} version {folder.name}: no file {path.name}")
    cpu = "CPUExecutionProvider"
    return _OnnxModel(path, ["CUDAExecutionProvider", cpu] if config.on_gpu else [cpu])


def warmup_tensors(warmup: Warmup, config: ModelConfig) -> Tensors:
    """The inputs of one warm-up. Raises `InvalidConfig` for an input that the model does not have."""
    rng = np.random.default_rng(0)
    known = {tensor.name: tensor for tensor in config.input}
    tensors: Tensors = {}
    for name, wanted in warmup.inputs.items():
        if name not in known:
            raise InvalidConfig(f"model_warmup: '{name}' is no input of '{config.name}'")
        shape = [*([warmup.batch_size or 1] if config.max_batch_size else []), *wanted.dims]
        dtype = dtype_of(name, known[name].datatype)
        if dtype.kind == "O":
            tensors[name] = np.full(shape, b"", dtype=object)
        elif wanted.random_data:
            tensors[name] = rng.random(shape).astype(dtype)
        else:
            tensors[name] = np.zeros(shape, dtype=dtype)
    return tensors


class _OnnxModel:
    """An ONNX file behind the same three calls."""

    def __init__(self, path: Path, providers: list[str]) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise InvalidConfig(
                f"{path.name}: the onnxruntime backend needs the extra: pip install attune[onnx]"
            ) from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
        self._session = onnxruntime.InferenceSession(str(path), options, providers=providers)
        self._outputs = [output.name for output in self._session.get_outputs()]

    def infer(self, tensors: Tensors) -> Tensors:
        return dict(zip(self._outputs, self._session.run(self._outputs, tensors), strict=True))
