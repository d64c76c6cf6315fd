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


def read_model_config(files: AbstractFileSystem, folder: str) -> ModelConfig | None:
    """The config in a model's folder, or None when it has none. Raises `InvalidConfig` naming file, key and value."""
    name = PurePosixPath(folder).name
    for file in CONFIG_FILES:
        path = f"{folder}/{file}"
        if files.isfile(path):
            try:
                config = ModelConfig.model_validate(_parsed(path, files.cat_file(path).decode()))
            except ValidationError as error:
                raise InvalidConfig(f"{path}: {describe(error)}") from error
            except (OSError, ValueError, yaml.YAMLError, text_format.ParseError) as error:
                raise InvalidConfig(f"{path}: {error}") from error
            if config.name not in ("", name):
                raise InvalidConfig(f"{path}: name {config.name!r} is not that of its folder, {name!r}")
            return config.model_copy(update={"name": name})
    return None


def _parsed(path: str, text: str) -> Any:
    if path.endswith(".pbtxt"):
        message = text_format.Parse(text, model_config_pb2.ModelConfig())
        return json_format.MessageToDict(message, preserving_proto_field_name=True)
    return json.loads(text) if path.endswith(".json") else yaml.safe_load(text)
