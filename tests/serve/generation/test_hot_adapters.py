"""Adapters under load in the real engine: loaded while others generate, nobody fails, and the texts differ."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.cluster, pytest.mark.timeout(1000)]

SESSION = """
import asyncio, json, shutil, sys, time
from pathlib import Path
import msgspec, numpy as np
from interest.errors import NotFound
from ranking.release import ManifestFields, ModelRepository
from serve.config import parse_config
from serve.generation.adapters import KIND, base_identity, repository_name
from serve.generation.completion import Sampling
from serve.generation.generator import GeneratedText
from serve.generation.prompt import GenerationTask, ItemFacts
from serve.generation.raw import RawRequest
from serve.generation.release import DEMO_FOLDER
from serve.stages.generator import GeneratorStage

CALLERS = 8
repository = ModelRepository(Path(sys.argv[1]))

def register(seed):
    '''A version that has learned nothing, but says something else.'''
    import torch  # not at the top: the engine's processes import this file, and do not start where numba is imported
    from serve.adaptation.training import AdapterFit, Settings
    fit = AdapterFit(str(DEMO_FOLDER), Settings(seed=seed))
    for name, value in fit._model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(value, std=0.2)
    kept = repository_name("short")
    fields = ManifestFields(created=1.0, details={"kind": KIND, "base": base_identity("demo")})
    repository.write_version(kept, repository.next_version(kept), fit.save, fields)

def tensors(domain, number, salt=""):
    item = ItemFacts(title=f"Copper Lamp {number}", domain=domain, categories=("Poetry",), tags=("sea",))
    task = GenerationTask(item=item, content_type="summary")
    one = {"task": np.array([msgspec.json.encode(task)], dtype=object), "max_tokens": np.array([48])}
    return one | {"remaining_ms": np.array([300_000.0]), "cache_salt": np.array([salt], dtype=object)}

def raw(prompt, adapter):
    request = RawRequest(prompt=prompt, sampling=Sampling(max_tokens=24, temperature=0.0), adapter=adapter)
    one = {"completion": np.array([msgspec.json.encode(request)], dtype=object)}
    return one | {"remaining_ms": np.array([300_000.0]), "cache_salt": np.array([""], dtype=object)}

async def answer_of(stage, prompt, adapter):
    found = await stage.infer(raw(prompt, adapter))
    return json.loads(found["answer"][0])["text"]

async def live(stage, name):
    async with asyncio.timeout(300):
        while stage._adapters._live.get("short", None) is None or stage._adapters._live["short"].name != name:
            await asyncio.sleep(0.02)

async def session():
    stage = GeneratorStage(parse_config({
        "repository": str(repository.root), "generation": {"adapters": {"books": "short"}}}, "test"))
    await stage.load()
    prompt = "domain: books\\ntext:"
    seen = {"base": await answer_of(stage, prompt, "")}
    try:
        await stage.infer(raw(prompt, "short"))
    except NotFound as error:
        seen["unknown"] = error.message
    done, failed, stop = 0, [], asyncio.Event()
    async def caller(number):
        nonlocal done
        while not stop.is_set():
            try:
                answer = await stage.infer(tensors("books" if number % 2 else "news", number))
                text = msgspec.json.decode(answer["text"][0], type=GeneratedText | None)
                failed.extend([] if text is not None else ["no text"])
                done += 1
            except Exception as error:
                failed.append(repr(error))
    callers = [asyncio.ensure_future(caller(number)) for number in range(CALLERS)]
    seen["said"] = []
    for version in ("1", "2", "3"):
        before = done
        await asyncio.to_thread(register, int(version))
        await live(stage, f"short/{version}")
        seen["said"].append(await answer_of(stage, prompt, "short"))
        after = done
        while done < after + 2 * CALLERS and not failed:
            await asyncio.sleep(0.02)
    stop.set()
    await asyncio.gather(*callers)
    seen |= {"done": done, "failed": failed, "base again": await answer_of(stage, prompt, "")}
    streamed = [part async for part in stage.stream(raw(prompt, "short"))]
    pieces = [json.loads(body)["text"] for parts in streamed for _, body in parts]
    seen["streamed"] = "".join(pieces)
    await stage.unload()
    print(json.dumps(seen))

if __name__ == "__main__":
    asyncio.run(session())
"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("adapters")
    script = folder / "session.py"
    script.write_text(SESSION)
    command = [sys.executable, str(script), str(folder / "models")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, cwd=Path.cwd(), check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_three_versions_are_taken_up_while_eight_callers_generate_and_none_of_them_fails(seen: dict[str, Any]) -> None:
    assert seen["failed"] == []
    assert seen["done"] >= 3 * 16


def test_each_version_says_something_else_and_the_model_as_it_is_the_same_as_ever(seen: dict[str, Any]) -> None:
    assert len({seen["base"], *seen["said"]}) == 4
    assert seen["base again"] == seen["base"]
    assert seen["streamed"] == seen["said"][-1]


def test_an_adapter_that_is_not_there_yet_is_an_error_with_its_name(seen: dict[str, Any]) -> None:
    assert seen["unknown"] == "model='short': no adapter of that name is loaded"
