"""The model repository: `<name>/<version>/` with a config file, on this machine or at any fsspec URL."""

import hashlib
import re
import shutil
import tempfile
from collections.abc import Collection
from pathlib import Path

from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from interest.errors import InvalidConfig
from serve.oip.config_files import has_config, read_model_config
from serve.oip.errors import UnknownModel
from serve.oip.model_config import ModelConfig
from serve.oip.user_models import servable

BUILT_IN = ("encoder", "interest", "retriever", "reranker", "generator", "recommend")
NOT_LOADED = "not loaded: its folder came after the start; load it"
_VERSION = re.compile(r"[1-9][0-9]*")


def new_model(url: str, name: str, override: str) -> ModelConfig:
    """The config of a model or an ensemble in the repository. Raises `UnknownModel` where there is none of the name.

    Raises `InvalidConfig` for a config that does not fit. `override`: a config as JSON in place of the file's.
    """
    require_folder(url, name)
    folder = ModelFolder(url, name)
    config = folder.config(override)
    if not config.is_ensemble:
        wanted_versions(config, folder.versions())
    return config


def require_folder(url: str, name: str) -> None:
    """Raises `UnknownModel` where no folder of this name can be a model of a user's own."""
    if name in BUILT_IN or name not in folder_names(url):
        raise UnknownModel(f"failed to load '{name}': the model repository has no folder of this name")


def wanted_versions(config: ModelConfig, found: list[str]) -> list[str]:
    """Those of the folder's versions that are to be served, ascending. Raises `InvalidConfig` when there is none."""
    wanted = config.version_policy.served(found)
    if not wanted:
        raise InvalidConfig(f"failed to load '{config.name}': its version_policy leaves none of {found}")
    return wanted


def unserved_models(url: str, served: Collection[str]) -> list[tuple[str, list[str], str]]:
    """(name, versions, why it is not served) of each folder with a config file and a name that is not in `served`."""
    files, root = url_to_fs(url)
    files.invalidate_cache()
    found = []
    for name in _names(files, root):
        folder = ModelFolder(url, name)
        if name in served or not has_config(files, folder.path):
            continue
        try:
            folder.config()
        except InvalidConfig as error:
            found.append((name, folder.versions(), error.message))
        else:
            found.append((name, folder.versions(), NOT_LOADED))
    return found


def folder_names(url: str) -> set[str]:
    """Of all folders of the repository, with a config file or without."""
    files, root = url_to_fs(url)
    files.invalidate_cache()
    return set(_names(files, root))


def _names(files: AbstractFileSystem, root: str) -> list[str]:
    """The folders of the repository, in order."""
    paths = files.ls(root, detail=False) if files.isdir(root) else []
    return sorted(path.rstrip("/").rpartition("/")[2] for path in paths)


def read_user_models(url: str) -> dict[str, ModelConfig]:
    """Every folder of the repository with a config file, by name. Raises `InvalidConfig` naming what does not fit."""
    files, root = url_to_fs(url)
    found: dict[str, ModelConfig] = {}
    for folder in (f"{root.rstrip('/')}/{name}" for name in _names(files, root)):
        config = read_model_config(files, folder)
        if config is not None and config.name in BUILT_IN:
            raise InvalidConfig(f"{folder}: {config.name!r} is the name of a model of Attune's own; choose another")
        if config is not None:
            found[config.name] = servable(config)
    return found


class ModelFolder:
    """One model's folder. Versions that lie elsewhere are copied to this machine before they are loaded."""

    def __init__(self, url: str, name: str) -> None:
        self._files, root = url_to_fs(url)
        self.path = f"{root.rstrip('/')}/{name}"
        self._name = name

    def config(self, override: str = "") -> ModelConfig:
        """What the config file says now, or a JSON text in its place. Raises `InvalidConfig`."""
        self._files.invalidate_cache()
        config = read_model_config(self._files, self.path, override)
        if config is None:
            raise InvalidConfig(f"{self.path}: no config file")
        return servable(config)

    def versions(self) -> list[str]:
        """The version folders, ascending."""
        names = [path.rstrip("/").rpartition("/")[2] for path in self._files.ls(self.path, detail=False)]
        return sorted(filter(_VERSION.fullmatch, names), key=int)

    def mark(self, version: str) -> str:
        """Changes whenever a file of the version does."""
        return _mark(self._files, f"{self.path}/{version}")

    def fetch(self, version: str) -> Path:
        """The version's folder on this machine: itself, or a copy that `drop` removes."""
        source = f"{self.path}/{version}"
        if isinstance(self._files, LocalFileSystem):
            return Path(source)
        target = Path(tempfile.mkdtemp(prefix=f"attune-{self._name}-")) / version
        self._files.get(source, str(target), recursive=True)
        return target

    def drop(self, folder: Path) -> None:
        """Remove what `fetch` copied."""
        if not isinstance(self._files, LocalFileSystem):
            shutil.rmtree(folder.parent, ignore_errors=True)


def _mark(files: AbstractFileSystem, folder: str) -> str:
    facts = sorted((path, str(files.checksum(path))) for path in files.find(folder) if "__pycache__" not in path)
    return hashlib.sha256(repr(facts).encode()).hexdigest()
