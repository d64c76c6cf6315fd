"""vLLM behind one class: start, generate with cancellation, health, counters, stop."""

from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any

import psutil

from interest.errors import EngineDead, InvalidRelease, NotReady
from serve.generation.completion import Adapter, Completion, EngineStats, Piece, Prompt, Sampling
from serve.generation.gate import Gate
from serve.generation.pacing import paced
from serve.generation.prompt import PROMPT_VERSION, GenerationTask, build_chat, build_prompt, facts_of
from serve.generation.release import DEMO_FOLDER, prompt_version
from serve.generation.settings import EngineConfig
from serve.generation.vllm_calls import add_adapter, pieces
from serve.generation.vllm_start import start_engine
from serve.generation.watchdog import Watchdog

SHUTDOWN_S = 5.0


class GenerationEngine:
    """Owns the engine's processes from `start` to `shutdown`; a watchdog ends them if this process is killed."""

    def __init__(self, config: EngineConfig, stream_interval_s: float = 0.0) -> None:
        """What a streamed answer says in `stream_interval_s` is one piece, its first token apart."""
        self.config = config
        self._stream_interval_s = stream_interval_s
        self._engine: Any = None
        self._watchdog: Watchdog | None = None
        self._recorder: Any = None
        self._gate: Gate | None = None
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
        local = folder.is_dir()
        self._watchdog = Watchdog()
        before = {process.pid for process in psutil.Process().children(recursive=True)}
        self._engine, self._recorder = start_engine(self.config, str(folder) if local else self.config.model, local)
        self._gate = Gate(self._engine.get_tokenizer(), self.config.max_model_len)
        started = psutil.Process().children(recursive=True)
        self._processes = [process for process in started if process.pid not in before and _is_engine(process)]
        await self.generate("warm up", "warm-up", max_tokens=4)

    def prompt(self, task: GenerationTask) -> list[int]:
        """The task as this model wants to read it: our layout, or the model's own chat template.

        Raises `ControlToken` for facts that would speak to the model, `InvalidRequest` without room for an answer.
        """
        if self._gate is None:
            raise NotReady("the language model engine is not started")
        facts = facts_of(task)
        self._gate.check_facts(facts, task.item.domain)
        if self._own_layout:
            return self._gate.admitted(build_prompt(task), facts.title)
        messages = build_chat(task)
        text = self._templated(messages)
        if text is not None:  # it has written the tokens that open a prompt already
            return self._gate.admitted(text, facts.title, add_special_tokens=False)
        return self._gate.admitted("\n\n".join(message["content"] for message in messages) + " ", facts.title)

    def chat_prompt(self, messages: Sequence[dict[str, str]]) -> Prompt:
        """Messages of `role` and `content` by the model's own chat template; without one, their contents alone.

        Token ids where there is a template: it has written the tokens that open a prompt already.
        """
        text = self._templated(messages)
        if text is None:
            return "\n\n".join(message["content"] for message in messages)
        ids: list[int] = self._running().get_tokenizer().encode(text, add_special_tokens=False)
        return ids

    async def load_adapter(self, adapter: Adapter) -> None:
        """Load it, and write a few words with it, beside what is served; generating with it costs no more after that.

        Raises `InvalidRelease` for one that does not fit the model, `EngineDead`.
        """
        await add_adapter(self._running(), adapter)
        await self.generate("warm up", f"warm-up-{adapter.name}", max_tokens=4, adapter=adapter)

    async def generate(
        self,
        prompt: Prompt,
        request_id: str,
        max_tokens: int,
        cache_salt: str = "",
        adapter: Adapter | None = None,
        regex: str = "",
    ) -> Completion:
        """The whole answer, by the likeliest tokens; of those, where `regex` is given, that let it match.

        When the awaiting task is cancelled, the engine drops the request. Raises `InvalidRequest` for a prompt that
        does not fit, `EngineDead` when the engine's processes are gone.
        """
        sampling = Sampling(max_tokens=max_tokens, temperature=0.0, regex=regex)
        answer = await self.complete(prompt, request_id, sampling, cache_salt, adapter)
        finished = answer.finish_reason == "stop"
        return Completion(answer.text, answer.prompt_tokens, answer.completion_tokens, finished)

    async def complete(
        self, prompt: Prompt, request_id: str, sampling: Sampling, cache_salt: str = "", adapter: Adapter | None = None
    ) -> Piece:
        """The whole answer as one piece; otherwise as `generate`."""
        answer = Piece("", 0, 0, "length")
        async for piece in pieces(self._running(), prompt, request_id, sampling, True, cache_salt, adapter):
            answer = piece
        return answer

    def stream(
        self, prompt: Prompt, request_id: str, sampling: Sampling, cache_salt: str = "", adapter: Adapter | None = None
    ) -> AsyncGenerator[Piece, None]:
        """The answer as it grows; together the pieces are the whole. Closing the iterator drops the request."""
        growing = pieces(self._running(), prompt, request_id, sampling, False, cache_salt, adapter)
        return paced(growing, self._stream_interval_s)

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

    def _templated(self, messages: Sequence[dict[str, str]]) -> str | None:
        """By the model's chat template; None when it has none."""
        tokenizer = self._running().get_tokenizer()
        if getattr(tokenizer, "chat_template", None) is None:
            return None
        return str(tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True))


def _is_engine(process: psutil.Process) -> bool:
    """Python's own resource tracker lives as long as this process, and is none of the engine's."""
    try:
        return not any("resource_tracker" in part for part in process.cmdline())
    except psutil.NoSuchProcess:
        return False
