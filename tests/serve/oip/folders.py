"""Model folders that tests write: scalers of two numbers, each version with its own factor."""

from pathlib import Path
from typing import Any

import numpy as np
import yaml

SCALER = """
import numpy as np
from pathlib import Path

class Model:
    def load(self, folder, parameters):
        self.factor = {factor} * float(parameters.get("unit", "1"))
    def infer(self, tensors):
        if (tensors["x"] < 0).any():
            raise ValueError("negative")
        return {{"y": tensors["x"] * np.float32(self.factor)}}
    def unload(self):
        (Path(__file__).parent / "unloaded").touch()
"""
CONFIG: dict[str, Any] = {
    "backend": "python",
    "max_batch_size": 4,
    "input": [{"name": "x", "data_type": "TYPE_FP32", "dims": [2]}],
    "output": [{"name": "y", "data_type": "TYPE_FP32", "dims": [2]}],
    "dynamic_batching": {},
    "model_warmup": [{"batch_size": 2, "inputs": {"x": {"data_type": "TYPE_FP32", "dims": [2], "zero_data": True}}}],
}
ONES = {"x": np.ones((1, 2), dtype=np.float32)}


def write_version(folder: Path, version: str, factor: float, code: str = SCALER) -> None:
    (folder / version).mkdir(parents=True, exist_ok=True)
    (folder / version / "model.py").write_text(code.format(factor=factor))


def write_config(folder: Path, **changes: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump({**CONFIG, **changes}))


def write_scaler(root: Path, factor: float = 2.0, name: str = "scaler", **changes: object) -> Path:
    """A whole folder with version 1."""
    write_config(root / name, **changes)
    write_version(root / name, "1", factor)
    return root / name


def write_twice(root: Path, name: str = "twice", model: str = "scaler", **changes: object) -> Path:
    """An ensemble of a scaler with itself."""
    tensors = {part: [{**CONFIG[part][0], "name": name}] for part, name in (("input", "a"), ("output", "c"))}
    steps = [
        {"model_name": model, "input_map": {"x": "b"}, "output_map": {"y": "c"}},
        {"model_name": model, "input_map": {"x": "a"}, "output_map": {"y": "b"}},
    ]
    (root / name / "1").mkdir(parents=True, exist_ok=True)
    config = {"platform": "ensemble", "max_batch_size": 4, **tensors, "ensemble_scheduling": {"step": steps}}
    (root / name / "config.yaml").write_text(yaml.safe_dump({**config, **changes}))
    return root / name


def steps(*models: tuple[str, str, str]) -> dict[str, Any]:
    """(model, what it takes, what it makes) of each."""
    return {
        "step": [
            {"model_name": model, "input_map": {"x": taken}, "output_map": {"y": made}} for model, taken, made in models
        ]
    }


def ensemble_step(model: str, taken: str, made: str) -> dict[str, Any]:
    """Of an ensemble like that of `write_twice` in another."""
    return {"model_name": model, "input_map": {"a": taken}, "output_map": {"c": made}}
