"""A model folder in 8 bits: `attune compress`. vLLM runs it on CPUs and GPUs alike, as `compressed-tensors`.

Weights: symmetric int8 with a scale for each output channel, rounded to nearest; activations: int8 with a scale for
each token, found while it runs (Yao et al. 2022, "ZeroQuant", section 4.1: group-wise weights, of which a row is the
group here, and token-wise activations). Embeddings, norms and the output head stay as they are.
"""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from interest.errors import InvalidConfig

MOST = 127  # of an int8, either way
PROJECTIONS = ("_proj.weight",)  # how the linear layers that vLLM quantises are named, in every common architecture
QUANTIZATION: dict[str, Any] = {
    "quant_method": "compressed-tensors",
    "format": "int-quantized",
    "quantization_status": "compressed",
    "config_groups": {
        "group_0": {
            "targets": ["Linear"],
            "weights": {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "channel", "dynamic": False},
            "input_activations": {
                "num_bits": 8,
                "type": "int",
                "symmetric": True,
                "strategy": "token",
                "dynamic": True,
            },
        }
    },
    "ignore": ["lm_head"],
}


@dataclass(frozen=True, slots=True)
class Sizes:
    """Of the weights, in bytes; `layers`: linear layers that are int8 now."""

    before: int
    after: int
    layers: int


def compress(source: Path, target: Path) -> Sizes:
    """Write the int8 model folder `target`. Raises `InvalidConfig` for a folder that is no unquantised model."""
    config_file = source / "config.json"
    shards = sorted(source.glob("*.safetensors"))
    if not config_file.is_file() or not shards:
        raise InvalidConfig(f"{source}: no model folder: config.json and *.safetensors are expected")
    config = json.loads(config_file.read_text())
    if "quantization_config" in config:
        raise InvalidConfig(f"{source}: quantised already ({config['quantization_config'].get('quant_method')})")
    if target.exists():
        raise InvalidConfig(f"{target}: exists already")
    _copy_the_rest(source, target)
    layers = 0
    index: dict[str, str] = {}
    for shard in shards:
        tensors = dict(_quantised(shard))
        save_file(tensors, str(target / shard.name), metadata={"format": "pt"})
        index |= dict.fromkeys(tensors, shard.name)
        layers += sum(name.endswith(".weight_scale") for name in tensors)
    if not layers:
        shutil.rmtree(target)
        raise InvalidConfig(f"{source}: no linear layer is named {PROJECTIONS[0]}: this architecture is not known")
    (target / "config.json").write_text(json.dumps({**config, "quantization_config": QUANTIZATION}, indent=2) + "\n")
    if len(shards) > 1:
        body = {"metadata": {"total_size": _size(target)}, "weight_map": index}
        (target / "model.safetensors.index.json").write_text(json.dumps(body, indent=2) + "\n")
    return Sizes(_size(source), _size(target), layers)


def quantised(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(int8 [out, in], scale [out, 1]) of a weight [out, in]; a row of zeros has the scale 1."""
    exact = weight.float()
    scale = exact.abs().amax(dim=1, keepdim=True) / MOST
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    return (exact / scale).round().clamp(-MOST, MOST).to(torch.int8), scale


def _quantised(shard: Path) -> Iterator[tuple[str, torch.Tensor]]:
    with safe_open(str(shard), "pt") as tensors:
        for name in tensors.keys():  # noqa: SIM118  # it is no dict
            tensor = tensors.get_tensor(name)
            if name.endswith(PROJECTIONS) and tensor.ndim == 2:
                weight, scale = quantised(tensor)
                yield name, weight
                yield f"{name}_scale", scale.to(tensor.dtype)
            else:
                yield name, tensor


def _copy_the_rest(source: Path, target: Path) -> None:
    target.mkdir(parents=True)
    for path in source.iterdir():
        if path.is_file() and path.suffix != ".safetensors" and not path.name.endswith(".index.json"):
            shutil.copy(path, target / path.name)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))
