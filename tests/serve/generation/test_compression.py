"""Int8 model folders: what is quantised, how far it is from what it was, and what is refused."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from interest.errors import InvalidConfig
from serve.generation.compression import compress, quantised
from serve.generation.release import DEMO_FOLDER


def test_a_weight_is_off_by_half_a_step_at_most_and_rows_of_zeros_stay_zero() -> None:
    weight = torch.randn(6, 32, generator=torch.Generator().manual_seed(0))
    weight[3] = 0
    packed, scale = quantised(weight)
    assert (packed.dtype, tuple(scale.shape)) == (torch.int8, (6, 1))
    assert ((packed * scale - weight).abs() <= scale / 2 + 1e-6).all()
    assert (packed[3] == 0).all()


def test_linear_layers_are_int8_and_everything_else_is_as_it_was(tmp_path: Path) -> None:
    sizes = compress(DEMO_FOLDER, tmp_path / "small")
    before, after = (load_file(str(folder / "model.safetensors")) for folder in (DEMO_FOLDER, tmp_path / "small"))
    for name, tensor in before.items():
        assert after[name].dtype == (torch.int8 if name.endswith("_proj.weight") else tensor.dtype)
    assert torch.equal(after["model.embed_tokens.weight"], before["model.embed_tokens.weight"])
    assert sizes.layers == sum(name.endswith("_proj.weight") for name in before)
    assert sizes.after < sizes.before
    assert json.loads((tmp_path / "small" / "config.json").read_text())["quantization_config"]["config_groups"]
    assert (tmp_path / "small" / "prompt_version.json").is_file()


def test_several_files_of_weights_get_an_index(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "config.json").write_text("{}")
    for part in ("a", "b"):
        save_file({f"{part}.up_proj.weight": torch.ones(2, 2)}, str(source / f"model-{part}.safetensors"))
    compress(source, tmp_path / "small")
    index = json.loads((tmp_path / "small" / "model.safetensors.index.json").read_text())["weight_map"]
    assert index["b.up_proj.weight_scale"] == "model-b.safetensors"


def test_what_cannot_be_compressed_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="no model folder"):
        compress(tmp_path, tmp_path / "small")
    compress(DEMO_FOLDER, tmp_path / "once")
    with pytest.raises(InvalidConfig, match="quantised already"):
        compress(tmp_path / "once", tmp_path / "twice")
    with pytest.raises(InvalidConfig, match="exists already"):
        compress(DEMO_FOLDER, tmp_path / "once")
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "config.json").write_text("{}")
    save_file({"query.weight": torch.ones(2, 2)}, str(tmp_path / "odd" / "model.safetensors"))
    with pytest.raises(InvalidConfig, match="not known"):
        compress(tmp_path / "odd", tmp_path / "none")
    assert not (tmp_path / "none").exists()


WRITING = """
import asyncio, json, sys
from serve.generation.engine import GenerationEngine
from serve.generation.generator import Generator
from serve.generation.prompt import GenerationTask, ItemFacts
from serve.generation.settings import EngineConfig

async def written(model):
    engine = GenerationEngine(EngineConfig(model=model))
    await engine.start()
    items = [ItemFacts(title=f"Copper Lamp {n}", domain="e-commerce") for n in range(8)]
    texts = await Generator(engine).write([GenerationTask(item=item) for item in items], deadline_s=60)
    engine.shutdown()
    return [text.source for text in texts]

if __name__ == "__main__":
    print(json.dumps(asyncio.run(written(sys.argv[1]))))
"""


@pytest.mark.thorough
def test_vllm_writes_with_the_compressed_demo_model(tmp_path: Path) -> None:
    compress(DEMO_FOLDER, tmp_path / "small")
    (tmp_path / "writing.py").write_text(WRITING)
    command = [sys.executable, str(tmp_path / "writing.py"), str(tmp_path / "small")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.strip().splitlines()[-1]).count("model") >= 6
