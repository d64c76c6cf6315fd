"""vLLM behind one class: start, generate with cancellation, health, counters, stop. The only file that knows vLLM."""

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psutil
from pydantic import BaseModel, ConfigDict, Field

from interest.errors import EngineDead, InvalidConfig, InvalidRelease, InvalidRequest, NotReady
from serve.generation.prompt import PROMPT_VERSION, GenerationTask, build_chat, build_prompt
from serve.generation.release import DEMO_FOLDER, prompt_version
from serve.generation.watchdog import Watchdog

SHUTDOWN_S = 5.0


class EngineConfig(BaseModel):
    """Settings of the language model engine; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = "demo"  # "demo", a folder, or the id of a model on the hub
    device: Literal["auto", "cpu", "gpu"] = "auto"
    dtype: str = "auto"
    max_model_len: int = Field(1024, ge=64)  # tokens of prompt and answer together
    max_num_seqs: int = Field(64, ge=1)
    max_num_batched_tokens: int | None = Field(None, ge=64)
    kv_cache_gib: int = Field(1, ge=1)  # on a CPU
    gpu_memory_utilization: float = Field(0.9, gt=0.0, le=1.0)  # on a GPU
    threads: int = Field(1, ge=1)  # of the engine's arithmetic on a CPU
    enforce_eager: bool = True
    enable_prefix_caching: bool = True


@dataclass(frozen=True, slots=True)
class Completion:
    """One finished answer. `finished` is False when it was cut at `max_tokens`."""

    text: str
    prompt_tokens: int
    completion_tokens: int
    finished: bool


@dataclass(frozen=True, slots=True)
class EngineStats:
    """The engine's own counters after its latest step."""

    running: int
    waiting: int
    prefix_queries: int  # prompt tokens looked up in the prefix cache since the start
    prefix_hits: int


class GenerationEngine:
    """Owns the engine's processes from `start` to `shutdown`; a watchdog ends them if this process is killed."""

    def __init__(self, config: EngineConfig) -> None:
        self.config = config
        self._engine: Any = None
        self._watchdog: Watchdog | None = None
        self._recorder: Any = None
        self._processes: list[psutil.Process] = []
        self._own_layout = config.model == "demo"

    @property
    def own_layout(self) -> bool:
        """Whether the model was trained on our own prompts and sentences, as the demo model is."""
        return self._own_layout

    async def start(self) -> None:
        """Load the model, start the engine's processes and warm up. Blocks the event loop for seconds.

        Raises `InvalidRelease` when the model was trained on another prompt layout, `InvalidConfig` when the installed
        vLLM does not serve the wanted device.
        """
        folder = DEMO_FOLDER if self.config.model == "demo" else Path(self.config.model)
        version = prompt_version(folder)
        if version not in (None, PROMPT_VERSION):
            raise InvalidRelease(
                f"model {folder.name}: trained on prompt layout {version}, the server has {PROMPT_VERSION}"
            )
        self._own_layout = version is not None
        _set_environment(self.config, folder.is_dir())
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.v1.engine.async_llm import AsyncLLM

        self._watchdog = Watchdog()
        _check_device(self.config.device)
        self._recorder = _recorder()
        arguments = AsyncEngineArgs(**_arguments(self.config, str(folder) if folder.is_dir() else self.config.model))
        before = {process.pid for process in psutil.Process().children(recursive=True)}
        self._engine = AsyncLLM.from_engine_args(arguments, stat_loggers=[self._recorder])
        started = psutil.Process().children(recursive=True)
        self._processes = [process for process in started if process.pid not in before and _is_engine(process)]
        await self.generate("warm up", "warm-up", max_tokens=4)

    def prompt(self, task: GenerationTask) -> str:
        """The task as this model wants to read it: our layout, or the model's own chat template."""
        if self._own_layout:
            return build_prompt(task)
        messages = build_chat(task)
        tokenizer = self._running().get_tokenizer()
        if getattr(tokenizer, "chat_template", None) is None:
            return "\n\n".join(message["content"] for message in messages) + " "
        return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))

    async def generate(self, prompt: str, request_id: str, max_tokens: int, temperature: float = 0.0) -> Completion:
        """The whole answer. When the awaiting task is cancelled, the engine drops the request.

        Raises `InvalidRequest` for a prompt that does not fit, `EngineDead` when the engine's processes are gone.
        """
        final = Completion("", 0, 0, finished=False)
        async for completion in self._outputs(prompt, request_id, max_tokens, temperature, final_only=True):
            final = completion
        return final

    async def stream(
        self, prompt: str, request_id: str, max_tokens: int, temperature: float = 0.0
    ) -> AsyncIterator[Completion]:
        """The answer so far, again and again as it grows. Closing the iterator drops the request."""
        async for completion in self._outputs(prompt, request_id, max_tokens, temperature, final_only=False):
            yield completion

    async def check_health(self) -> None:
        """Raises `NotReady` before `start`, `EngineDead` once the engine's processes are gone."""
        engine = self._running()
        try:
            await engine.check_health()
        except Exception as error:
            raise EngineDead(f"the engine of model {self.config.model} has died: {type(error).__name__}") from error

    def stats(self) -> EngineStats:
        """Counters after the engine's latest step; all zero before the first."""
        return self._recorder.latest if self._recorder is not None else EngineStats(0, 0, 0, 0)

    def shutdown(self) -> None:
        """Stop the engine's processes and wait until they have ended; calling it twice is harmless."""
        if self._engine is not None:
            self._engine.shutdown()
            self._engine = None
            _, left = psutil.wait_procs(self._processes, timeout=SHUTDOWN_S)
            for process in left:
                process.kill()
        if self._watchdog is not None:
            self._watchdog.close()
            self._watchdog = None

    def _running(self) -> Any:
        if self._engine is None:
            raise NotReady("the language model engine is not started")
        return self._engine

    async def _outputs(
        self, prompt: str, request_id: str, max_tokens: int, temperature: float, final_only: bool
    ) -> AsyncIterator[Completion]:
        engine = self._running()
        from vllm.exceptions import VLLMValidationError
        from vllm.sampling_params import RequestOutputKind, SamplingParams
        from vllm.v1.engine.exceptions import EngineDeadError

        kind = RequestOutputKind.FINAL_ONLY if final_only else RequestOutputKind.CUMULATIVE
        # Never a seed: on a CPU a seeded request with a chunked prompt ends the whole engine.
        parameters = SamplingParams(max_tokens=max_tokens, temperature=temperature, output_kind=kind)
        try:
            async for output in engine.generate(prompt, parameters, request_id):
                yield _completion(output)
        except EngineDeadError as error:
            raise EngineDead(f"the engine of model {self.config.model} has died") from error
        except (ValueError, VLLMValidationError) as error:  # the first until vLLM had a class of its own
            raise InvalidRequest(
                f"the prompt does not fit max_model_len={self.config.max_model_len}: {error}"
            ) from error


def _is_engine(process: psutil.Process) -> bool:
    """Python's own resource tracker lives as long as this process, and is none of the engine's."""
    try:
        return not any("resource_tracker" in part for part in process.cmdline())
    except psutil.NoSuchProcess:
        return False


def _completion(output: Any) -> Completion:
    answer = output.outputs[0]
    prompt_tokens = len(output.prompt_token_ids or ())
    return Completion(answer.text.strip(), prompt_tokens, len(answer.token_ids), answer.finish_reason == "stop")


def _arguments(config: EngineConfig, model: str) -> dict[str, Any]:
    return {
        "model": model,
        "dtype": config.dtype,
        "max_model_len": config.max_model_len,
        "max_num_seqs": config.max_num_seqs,
        "max_num_batched_tokens": config.max_num_batched_tokens,
        "gpu_memory_utilization": config.gpu_memory_utilization,
        "enforce_eager": config.enforce_eager,
        "enable_prefix_caching": config.enable_prefix_caching,
        "disable_log_stats": True,  # vLLM's own loggers; ours is passed beside
    }


def _set_environment(config: EngineConfig, local: bool) -> None:
    """vLLM and its processes are told through the environment; it is written here and read nowhere else."""
    os.environ.update(
        {
            "VLLM_LOGGING_LEVEL": "WARNING",
            "VLLM_NO_USAGE_STATS": "1",
            "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
            "VLLM_CPU_KVCACHE_SPACE": str(config.kv_cache_gib),
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # binding would pin the core that the other stages use
            "OMP_NUM_THREADS": str(config.threads),
            "TOKENIZERS_PARALLELISM": "false",
        }
    )
    if local:
        os.environ["HF_HUB_OFFLINE"] = "1"


def _check_device(device: str) -> None:
    from vllm.platforms import current_platform

    found = "cpu" if current_platform.is_cpu() else "gpu"
    if device not in ("auto", found):
        raise InvalidConfig(f"device={device}: the installed vLLM runs on {found}", "device")


def _recorder() -> Any:
    """A logger class for vLLM that keeps the counters of its latest step as a class attribute."""
    from vllm.v1.metrics.loggers import StatLoggerBase

    class Recorder(StatLoggerBase):  # type: ignore[misc]  # vllm is not followed
        latest = EngineStats(0, 0, 0, 0)

        def __init__(self, vllm_config: Any, engine_index: int = 0) -> None:
            pass

        def record(self, scheduler_stats: Any, iteration_stats: Any, *_: Any, **__: Any) -> None:
            if scheduler_stats is not None:
                before, cache = Recorder.latest, scheduler_stats.prefix_cache_stats
                Recorder.latest = EngineStats(
                    scheduler_stats.num_running_reqs,
                    scheduler_stats.num_waiting_reqs,
                    before.prefix_queries + cache.queries,
                    before.prefix_hits + cache.hits,
                )

        def log_engine_initialized(self) -> None:
            pass

    return Recorder
