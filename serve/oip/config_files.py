"""Config files of models of a user's own: Triton's text format, YAML or JSON, all under Triton's key names."""

import json
from pathlib import PurePosixPath
from typing import Any

import yaml
from fsspec import AbstractFileSystem
from google.protobuf import json_format, text_format
from pydantic import ValidationError
from tritonclient.grpc import model_config_pb2

from interest.errors import InvalidConfig
from serve.config import describe
from serve.oip.model_config import ModelConfig

CONFIG_FILES = ("config.pbtxt", "config.yaml", "config.json")
# What an override may leave to the file; Triton completes it from the model itself.
COMPLETED = ("backend", "platform", "max_batch_size", "input", "output")


def read_model_config(files: AbstractFileSystem, folder: str, override: str = "") -> ModelConfig | None:
    """The config in a model's folder, or None when it has none. Raises `InvalidConfig` naming file, key and value.

    `override`: JSON that holds in place of the file; only what it leaves out of `COMPLETED` comes from there.
    """
    name = PurePosixPath(folder).name
    path = _config_file(files, folder)
    if not path and not override:
        return None
    raw = _parsed(path, files) if path else {}
    if override:
        path = f"{folder}: parameter 'config'"
        raw = _overridden(path, raw, override)
    try:
        config = ModelConfig.model_validate(raw)
    except ValidationError as error:
        raise InvalidConfig(f"{path}: {describe(error)}") from error
    if config.name not in ("", name):
        raise InvalidConfig(f"{path}: name {config.name!r} is not that of its folder, {name!r}")
    return config.model_copy(update={"name": name})


def has_config(files: AbstractFileSystem, folder: str) -> bool:
    """Whether it is the folder of a model of a user's own."""
    return bool(_config_file(files, folder))


def _config_file(files: AbstractFileSystem, folder: str) -> str:
    return next((path for file in CONFIG_FILES if files.isfile(path := f"{folder}/{file}")), "")


def _overridden(what: str, of_file: Any, override: str) -> dict[str, Any]:
    try:
        given = json.loads(override)
    except ValueError as error:
        raise InvalidConfig(f"{what}: {error}") from error
    if not isinstance(given, dict):
        raise InvalidConfig(f"{what}: a JSON object is expected, not {type(given).__name__}")
    return {key: of_file[key] for key in COMPLETED if isinstance(of_file, dict) and key in of_file} | given


def _parsed(path: str, files: AbstractFileSystem) -> Any:
    try:
        return _read(path, files.cat_file(path).decode())
    except (OSError, ValueError, yaml.YAMLError, text_format.ParseError) as error:
        raise InvalidConfig(f"{path}: {error}") from error


def _read(path: str, text: str) -> Any:
    if path.endswith(".pbtxt"):
        message = text_format.Parse(text, model_config_pb2.ModelConfig())
        return json_format.MessageToDict(message, preserving_proto_field_name=True)
    return json.loads(text) if path.endswith(".json") else yaml.safe_load(text)
