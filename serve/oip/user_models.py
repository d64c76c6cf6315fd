"""What a user's model folder holds, loaded: a Python class or an ONNX file behind the same three calls."""

import asyncio
import importlib.util
import inspect
import os
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from interest.batch import Tensors
from interest.errors import InvalidConfig
from serve.oip.datatypes import dtype_of
from serve.oip.model_config import ModelConfig, Warmup

BACKENDS = ("python", "onnxruntime")
CLASS_NAME = "Model"
FILES = {"python": "model.py", "onnxruntime": "model.onnx"}


class UserModel(Protocol):
    """What a `model.py` defines as `class Model`; `load` and `unload` may be left out, each may be `async`."""

    def load(self, folder: Path, parameters: Mapping[str, str]) -> None:
        """Read the artefacts of a version from its folder."""

    def infer(self, tensors: Tensors) -> Tensors:
        """One batch: named arrays in, named arrays out. BYTES come as bytes."""
        ...

    def unload(self) -> None:
        """Free what `load` took."""


def make_user_model(folder: Path, config: ModelConfig) -> Any:
    """The model in a version's folder, not loaded yet. Raises `InvalidConfig`, and what the user's code raises."""
    return _python_model(folder, config) if config.backend == "python" else _onnx_model(folder, config)


def servable(folder: Path, config: ModelConfig) -> ModelConfig:
    """The config of a user's model, if it can be served. Raises `InvalidConfig`."""
    if config.backend not in BACKENDS:
        raise InvalidConfig(f"{folder.name}: backend {config.backend!r} is not one of {', '.join(BACKENDS)}")
    if not config.output:
        raise InvalidConfig(f"{folder.name}: output: at least one is needed")
    return config


async def called(method: Callable[..., Any], pool: Executor, *arguments: Any) -> Any:
    """The result of a method of a user's: plain functions run in the pool, coroutines here."""
    if inspect.iscoroutinefunction(method):
        result: Awaitable[Any] = method(*arguments)
        return await result
    return await asyncio.get_running_loop().run_in_executor(pool, method, *arguments)


def _python_model(folder: Path, config: ModelConfig) -> Any:
    path = folder / (config.default_model_filename or FILES["python"])
    spec = importlib.util.spec_from_file_location(f"attune_model_{config.name}_{folder.name}", path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise InvalidConfig(f"{config.name} version {folder.name}: no file {path.name}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made = getattr(module, CLASS_NAME, None)
    if made is None or not callable(getattr(made, "infer", None)):
        raise InvalidConfig(f"{config.name} version {folder.name}: {path.name} has no class {CLASS_NAME} with `infer`")
    return made()


def _onnx_model(folder: Path, config: ModelConfig) -> "_OnnxModel":
    path = folder / (config.default_model_filename or FILES["onnxruntime"])
    if not path.is_file():
        raise InvalidConfig(f"{config.name} version {folder.name}: no file {path.name}")
    gpu = any(group.kind == "KIND_GPU" for group in config.instance_group)
    return _OnnxModel(path, ["CUDAExecutionProvider", "CPUExecutionProvider"] if gpu else ["CPUExecutionProvider"])


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
