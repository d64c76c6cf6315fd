"""The real vLLM engine with the demo model, in a process of its own: life, cancellation, death."""

import json
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from pydantic import ValidationError

from interest.errors import InvalidRelease, NotReady
from serve.generation.completion import EngineStats
from serve.generation.engine import GenerationEngine
from serve.generation.settings import EngineConfig

SESSION = """
import asyncio, json, psutil
from dataclasses import replace
from interest.errors import EngineDead, InvalidRequest
from serve.generation.completion import Sampling
from serve.generation.engine import GenerationEngine
from serve.generation.settings import EngineConfig
from serve.generation.generator import Generator
from serve.generation.prompt import GenerationTask, ItemFacts

def tasks(count):
    items = [ItemFacts(title=f"Copper Lamp {n}", domain="e-commerce") for n in range(count)]
    return [GenerationTask(item=item, content_type="summary") for item in items]

async def until(condition):
    while not condition():
        await asyncio.sleep(0.01)

async def session():
    engine = GenerationEngine(EngineConfig(max_num_seqs=16))
    await engine.start()
    await engine.check_health()
    seen = {"processes": sorted(p.name() for p in psutil.Process().children(recursive=True) if "VLLM" in p.name())}
    generator = Generator(engine)
    texts = await generator.write(tasks(12), deadline_s=60)
    seen["texts"] = [[text.source, text.text, text.prompt_tokens, text.completion_tokens] for text in texts]
    again = await generator.write(tasks(12), deadline_s=60)
    seen["again"] = [text.text for text in again] == [text.text for text in texts]
    try:
        await engine.generate("word " * 3000, "long", 8)
    except InvalidRequest as error:
        seen["long"] = str(error)
    sampling = Sampling(max_tokens=40, temperature=0.0)
    parts = [part async for part in engine.stream(engine.prompt(tasks(1)[0]), "stream", sampling)]
    whole = await engine.complete(engine.prompt(tasks(1)[0]), "whole", sampling)
    seen["stream"] = [len(parts) > 3, "".join(part.text for part in parts) == whole.text,
                      replace(parts[-1], text="") == replace(whole, text=""),
                      [part.completion_tokens for part in parts] == list(range(1, len(parts) + 1))]
    seen["hits"] = []
    for salt in ("mine", "mine", "yours", "", ""):
        before = engine.stats()
        await engine.generate(list(range(10, 110)), f"salted-{len(seen['hits'])}", 2, salt)
        await asyncio.wait_for(until(lambda: engine.stats().prefix_queries >= before.prefix_queries + 100), 10)
        seen["hits"].append(engine.stats().prefix_hits - before.prefix_hits)
    by_ids = engine.chat_prompt([{"role": "user", "content": "a"}, {"role": "user", "content": "b"}])
    seen["chat"] = by_ids
    cut = await engine.complete([5, 6, 7], "ids", Sampling(max_tokens=3, ignore_eos=True))
    seen["ids"] = [cut.prompt_tokens, cut.completion_tokens, cut.finish_reason]
    schema = {"type": "object", "properties": {"a": {"enum": ["x", "y"]}}, "required": ["a"],
              "additionalProperties": False}
    said = await engine.complete("a", "schema", Sampling(temperature=0.0, json_schema=json.dumps(schema)))
    seen["schema"] = json.loads(said.text)["a"] in ("x", "y")
    said = await engine.complete("a", "regex", Sampling(temperature=0.0, regex="[ab]{3}c"))
    seen["regex"] = len(said.text) == 4 and said.text.endswith("c")
    try:
        await engine.complete("a", "bad", Sampling(temperature=0.0, json_schema='{"type": "no such type"}'))
    except InvalidRequest as error:
        seen["bad schema"] = "refuses" in str(error)
    call = asyncio.ensure_future(asyncio.gather(*(engine.generate("a", f"endless-{n}", 900) for n in range(8))))
    await asyncio.wait_for(until(lambda: engine.stats().running == 8), 60)
    call.cancel()
    await asyncio.wait({call})
    await asyncio.wait_for(engine.generate("a", "after", 2), 60)
    await asyncio.wait_for(until(lambda: engine.stats().running == 0), 10)
    seen["after_cancel"] = [engine.stats().running, engine.stats().waiting]
    worker = next(p for p in psutil.Process().children(recursive=True) if "EngineCor" in p.name())
    worker.kill()
    try:
        while True:
            await asyncio.wait_for(engine.generate("a", "dying", 2), 20)
    except EngineDead:
        pass
    try:
        await engine.check_health()
    except EngineDead as error:
        seen["dead"] = error.code
    engine.shutdown()
    seen["left"] = [p.name() for p in psutil.Process().children(recursive=True) if "VLLM" in p.name()
                    and p.status() != psutil.STATUS_ZOMBIE]
    print("RESULT " + json.dumps(seen), flush=True)

asyncio.run(session())
"""
OWNER = """
import asyncio
from serve.generation.engine import GenerationEngine
from serve.generation.settings import EngineConfig

async def hold():
    await GenerationEngine(EngineConfig()).start()
    print("RESULT up", flush=True)
    await asyncio.sleep(600)

asyncio.run(hold())
"""


def test_an_unknown_setting_is_an_error() -> None:
    with pytest.raises(ValidationError, match="max_num_seq"):
        EngineConfig.model_validate({"max_num_seq": 4})


async def test_an_engine_that_was_not_started_says_so() -> None:
    engine = GenerationEngine(EngineConfig())
    assert engine.stats() == EngineStats(0, 0, 0, 0)
    with pytest.raises(NotReady):
        await engine.check_health()
    with pytest.raises(NotReady):
        await engine.generate("a", "b", 4)
    engine.shutdown()


async def test_a_model_trained_on_another_prompt_layout_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "prompt_version.json").write_text(json.dumps({"prompt_version": "of last year"}))
    with pytest.raises(InvalidRelease, match="of last year"):
        await GenerationEngine(EngineConfig(model=str(tmp_path))).start()


def result_of(owner: subprocess.Popen[str]) -> str:
    """What the script printed after RESULT; its whole output when it printed none."""
    assert owner.stdout is not None
    seen = []
    for line in owner.stdout:
        if line.startswith("RESULT "):
            return line.removeprefix("RESULT ")
        seen.append(line)
    raise AssertionError("".join(seen))


def run(script: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", script]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.slow
@pytest.mark.cluster
def test_the_engine_writes_streams_drops_cancelled_requests_and_admits_its_death() -> None:
    with run(SESSION) as owner:
        seen = json.loads(result_of(owner))
    assert [name[:12] for name in seen["processes"]] == ["VLLM::Engine"], "its core runs the model itself"
    assert all(prompt_tokens > 20 and tokens > 4 for _, _, prompt_tokens, tokens in seen["texts"])
    assert sum(source == "model" for source, *_ in seen["texts"]) >= 6
    assert seen["again"]
    assert "1024" in seen["long"]
    assert seen["stream"] == [True, True, True, True]
    assert seen["hits"] == [0, 96, 0, 0, 96], "whole blocks of 32 tokens, and never another tenant's"
    assert seen["chat"] == "a\n\nb"
    assert (seen["schema"], seen["regex"], seen["bad schema"]) == (True, True, True)
    assert seen["ids"] == [3, 3, "length"]
    assert seen["after_cancel"] == [0, 0]
    assert seen["dead"] == "engine_dead"
    assert seen["left"] == []


@pytest.mark.slow
@pytest.mark.cluster
def test_kill_9_of_the_owner_ends_every_process_of_the_engine_within_five_seconds() -> None:
    with run(OWNER) as owner:
        result_of(owner)
        family = psutil.Process(owner.pid).children(recursive=True)
        assert sum("VLLM" in process.name() for process in family) == 1
        owner.kill()
        killed_at = time.perf_counter()
        while alive := [process for process in family if _lives(process)]:
            assert time.perf_counter() - killed_at < 5.0, alive
            time.sleep(0.02)


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
