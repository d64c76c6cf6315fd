"""vLLM by itself, as Attune's peer: its own server, and its own offline `LLM.generate` in a process of its own.

python -m benchmarks.throughput_peers FOLDER 16        # the offline worker: batches of prompts in, seconds out
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import httpx
import psutil
import typer

from serve.generation.settings import EngineConfig
from serve.generation.vllm_start import environment
from serve.ray_cluster import free_port

START_S = 300.0


@contextmanager
def vllm_serve(engine: EngineConfig, model: Path, log: Path) -> Iterator[str]:
    """`vllm serve` with the engine's settings; yields its URL. (The console script wants torchvision.)

    It keeps its metrics, as the engine inside Attune does.
    """
    port = free_port()
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model), "--served-model-name"]
    command += ["peer", "--host", "127.0.0.1", "--port", str(port), "--dtype", engine.dtype, "--block-size"]
    command += [str(engine.kv_block_size), "--max-model-len", str(engine.max_model_len), "--max-num-seqs"]
    command += [str(engine.max_num_seqs), "--enforce-eager", "--no-enable-prefix-caching"]
    command += ["--disable-uvicorn-access-log"]
    url = f"http://127.0.0.1:{port}"
    with (
        log.open("w") as out,
        subprocess.Popen(
            command, env={**os.environ, **environment(engine, local=True)}, stdout=out, stderr=out
        ) as process,
    ):
        try:
            _until_up(url, process, log)
            yield url
        finally:
            _end(process)


class Offline:
    """`LLM.generate` with at most `concurrency` sequences at once."""

    def __init__(self, engine: EngineConfig, model: Path, concurrency: int, log: Path) -> None:
        settings = engine.model_copy(update={"max_num_seqs": concurrency}).model_dump_json()
        self._log = log.open("w")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.throughput_peers", str(model), settings],
            env={**os.environ, **environment(engine, local=True)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        self.answer()  # it says when it is ready

    def generate(self, prompts: Sequence[str], max_tokens: int) -> tuple[int, float]:
        """(tokens written, seconds)."""
        assert self._process.stdin is not None, "it is a pipe"
        self._process.stdin.write(json.dumps({"prompts": prompts, "max_tokens": max_tokens}) + "\n")
        self._process.stdin.flush()
        found = self.answer()
        return int(found["tokens"]), float(found["seconds"])

    def answer(self) -> dict[str, Any]:
        """The next line of the worker that is one of ours; vLLM prints too."""
        assert self._process.stdout is not None, "it is a pipe"
        for line in self._process.stdout:
            if line.startswith("{"):
                found: dict[str, Any] = json.loads(line)
                return found
        raise RuntimeError(f"the offline worker ended: {self._log.name}")

    def close(self) -> None:
        assert self._process.stdin is not None, "it is a pipe"
        self._process.stdin.close()  # it ends by itself then
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            _end(self._process)
        self._log.close()


def _until_up(url: str, process: "subprocess.Popen[Any]", log: Path) -> None:
    give_up = time.monotonic() + START_S
    while time.monotonic() < give_up:
        try:
            if httpx.get(f"{url}/health", timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        if process.poll() is not None:
            raise RuntimeError(f"vllm serve ended with {process.returncode}: {log}")
        time.sleep(0.5)
    raise RuntimeError(f"vllm serve is not up after {START_S:.0f} s: {log}")


def _end(process: "subprocess.Popen[Any]") -> None:
    """The process and those that it started."""
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    process.terminate()
    _, left = psutil.wait_procs(family, timeout=15)
    for one in left:
        one.kill()
    process.wait()


def main(model: Annotated[Path, typer.Argument()], settings: Annotated[str, typer.Argument()]) -> None:
    """Answers a line of JSON {"prompts", "max_tokens"} by {"tokens", "seconds"}, until its input ends."""
    from vllm import LLM, SamplingParams

    engine = EngineConfig.model_validate_json(settings)
    llm = LLM(
        model=str(model),
        dtype=engine.dtype,
        max_model_len=engine.max_model_len,
        max_num_seqs=engine.max_num_seqs,
        block_size=engine.kv_block_size,
        enforce_eager=True,
        enable_prefix_caching=False,
    )
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        sampling = SamplingParams(temperature=0.0, max_tokens=asked["max_tokens"], ignore_eos=True)
        start = time.perf_counter()
        answers = llm.generate(asked["prompts"], sampling, use_tqdm=False)
        seconds = time.perf_counter() - start
        tokens = sum(len(answer.outputs[0].token_ids) for answer in answers)
        print(json.dumps({"tokens": tokens, "seconds": seconds}), flush=True)


if __name__ == "__main__":
    typer.run(main)
