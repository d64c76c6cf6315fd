"""The model repository on disk: versions of models with checked manifests, and the releases that bind them."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from safetensors import SafetensorError, safe_open

from interest.errors import InvalidRelease

MANIFEST = "manifest.json"
UNTIL = "until"  # of a release's details: nothing fitted saw an event at or after that instant; None: no such limit
STAGES = ("interest", "retriever", "reranker", "encoder", "generator")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestFields:
    """What the maker of a version says about it.

    `dims` names the sizes that other stages rely on (such as rank or embedding); `created` is unix seconds.
    """

    created: float
    dims: Mapping[str, int] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    data_fingerprint: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One verified version: every file in `folder` is what `manifest` says."""

    name: str
    version: str
    folder: Path
    manifest: Mapping[str, Any]

    def require_dims(self, **expected: int) -> None:
        """Raises `InvalidRelease` unless the manifest's dims hold these values."""
        for key, value in expected.items():
            found = self.manifest["dims"].get(key)
            if found != value:
                raise InvalidRelease(f"{self.folder / MANIFEST}: dims.{key} expected {value}, found {found}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Versions that were trained together: `models` maps a stage of `STAGES` to its version.

    A stage that is missing has no model in this release; serving then uses its stated fixed rule.
    """

    name: str
    created: float  # unix seconds
    models: Mapping[str, str]
    data_fingerprint: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)


class ModelRepository:
    """`<root>/<name>/<version>/` with a manifest each, and `<root>/releases/<release>.json`.

    A version is written once, under another name until it is whole, and never changed.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def versions(self, name: str) -> list[str]:
        """Versions of a model, oldest first (numbers by value, then other names by alphabet)."""
        folder = self.root / _checked(name)
        found = [path.name for path in folder.glob("*") if (path / MANIFEST).is_file() and _NAME.fullmatch(path.name)]
        return sorted(found, key=_version_order)

    def next_version(self, name: str) -> str:
        """One more than the highest numbered version; "1" when there is none."""
        numbers = [int(version) for version in self.versions(name) if version.isdecimal()]
        return str(max(numbers, default=0) + 1)

    def write_version(
        self, name: str, version: str, write: Callable[[Path], None], fields: ManifestFields
    ) -> ModelVersion:
        """Let `write` fill a folder, describe it in a manifest, and show it under its name at once.

        Raises `InvalidRelease` when the version exists: versions are immutable.
        """
        target = self.root / _checked(name) / _checked(version)
        if target.exists():
            raise InvalidRelease(f"{target}: this version exists already; versions never change")
        partial = target.parent / f".{version}.{uuid4().hex}.partial"
        partial.mkdir(parents=True)
        try:
            write(partial)
            manifest = {"name": name, "version": version, **asdict(fields), **_describe(partial)}
            _write_json(partial / MANIFEST, manifest)
            _sync_folder(partial)
            partial.rename(target)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        _sync_folder(target.parent)
        return ModelVersion(name, version, target, manifest)

    def delete_version(self, name: str, version: str) -> None:
        """Remove a version that no release needs; it is gone at once, or it is whole. Raises `InvalidRelease`."""
        target = self.root / _checked(name) / _checked(version)
        gone = target.parent / f".{version}.{uuid4().hex}.partial"
        try:
            target.rename(gone)
        except FileNotFoundError as error:
            raise InvalidRelease(f"{target}: expected a version, found none") from error
        shutil.rmtree(gone)

    def open_version(self, name: str, version: str) -> ModelVersion:
        """Verify every file against the manifest: presence, size, sha256 and tensor shapes.

        Raises `InvalidRelease` that names the file, the expected and the found value.
        """
        folder = self.root / _checked(name) / _checked(version)
        manifest = _read_json(folder / MANIFEST)
        for key in ("files", "tensors", "dims"):
            if not isinstance(manifest.get(key), dict):
                raise InvalidRelease(f"{folder / MANIFEST}: {key} expected an object, found {manifest.get(key)!r}")
        for relative, expected in sorted(manifest["files"].items()):
            _verify_file(folder / relative, expected)
        for relative, shapes in sorted(manifest["tensors"].items()):
            _verify_shapes(folder / relative, shapes)
        return ModelVersion(name, version, folder, manifest)

    def write_release(self, release: Release) -> None:
        """Raises `InvalidRelease` for an unknown stage, a missing version or a name that is taken."""
        for stage, version in release.models.items():
            if stage not in STAGES:
                raise InvalidRelease(f"release {release.name}: stage {stage!r} is none of {', '.join(STAGES)}")
            if version not in self.versions(stage):
                raise InvalidRelease(f"release {release.name}: {stage} version {version} is not in {self.root}")
        target = self._release_path(release.name)
        if target.exists():
            raise InvalidRelease(f"{target}: this release exists already; releases never change")
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.parent / f".{release.name}.{uuid4().hex}.partial"
        _write_json(partial, asdict(release))
        partial.rename(target)
        _sync_folder(target.parent)

    def read_release(self, name: str) -> Release:
        """Raises `InvalidRelease` when there is no such release or its file is not one."""
        path = self._release_path(name)
        content = _read_json(path)
        try:
            return Release(**content)
        except TypeError as error:
            raise InvalidRelease(f"{path}: {error}") from error

    def releases(self) -> list[str]:
        """Names of all releases, oldest first (numbers by value)."""
        names = [path.stem for path in (self.root / "releases").glob("*.json") if _NAME.fullmatch(path.stem)]
        return sorted(names, key=_version_order)

    def next_release(self) -> str:
        """The lowest free number above every numbered release."""
        return str(max((int(name) for name in self.releases() if name.isdecimal()), default=0) + 1)

    def latest(self) -> Release | None:
        """The release that was created last (ties by name); None in an empty repository."""
        found = [self.read_release(name) for name in self.releases()]
        return max(found, key=lambda release: (release.created, _version_order(release.name)), default=None)

    def _release_path(self, name: str) -> Path:
        return self.root / "releases" / f"{_checked(name)}.json"


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise InvalidRelease(f"{name!r}: a name is 1 to 64 letters, digits, dots, dashes, underscores")
    return name


def _version_order(version: str) -> tuple[bool, int, str]:
    return (not version.isdecimal(), int(version) if version.isdecimal() else 0, version)


def _describe(folder: Path) -> dict[str, Any]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    files = {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": _sha256(path)} for path in paths
    }
    tensors = {
        path.relative_to(folder).as_posix(): _tensor_shapes(path) for path in paths if path.suffix == ".safetensors"
    }
    return {"files": files, "tensors": tensors}


def _verify_file(path: Path, expected: Mapping[str, Any]) -> None:
    if not path.is_file():
        raise InvalidRelease(f"{path}: expected a file of {expected['bytes']} bytes, found none")
    size = path.stat().st_size
    if size != expected["bytes"]:
        raise InvalidRelease(f"{path}: bytes expected {expected['bytes']}, found {size}")
    digest = _sha256(path)
    if digest != expected["sha256"]:
        raise InvalidRelease(f"{path}: sha256 expected {expected['sha256']}, found {digest}")


def _verify_shapes(path: Path, expected: Mapping[str, list[int]]) -> None:
    found = _tensor_shapes(path)
    if found != dict(expected):
        raise InvalidRelease(f"{path}: dims expected {dict(expected)}, found {found}")


def _tensor_shapes(path: Path) -> dict[str, list[int]]:
    try:
        with safe_open(path, framework="numpy") as tensors:
            return {name: list(tensors.get_slice(name).get_shape()) for name in sorted(tensors.keys())}
    except (SafetensorError, OSError) as error:
        raise InvalidRelease(f"{path}: expected a safetensors file, found {error}") from error


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise InvalidRelease(f"{path}: expected a file, found none") from error
    except ValueError as error:
        raise InvalidRelease(f"{path}: expected JSON, found {error}") from error
    if not isinstance(content, dict):
        raise InvalidRelease(f"{path}: expected a JSON object, found {type(content).__name__}")
    return content


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    with path.open("w", encoding="utf-8") as stream:
        json.dump(content, stream, ensure_ascii=False, indent=2, sort_keys=True, allow_nan=False)
        stream.write("\n")
        stream.flush()
        os.fsync(stream.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
