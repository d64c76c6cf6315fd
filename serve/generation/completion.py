"""What an engine is asked and what it answers, in types that know no engine."""

from dataclasses import dataclass
from typing import Literal

Prompt = str | list[int]  # text, or the ids of its tokens
FinishReason = Literal["stop", "length"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How the next token is chosen and when the answer ends; the names are those of the OpenAI API and vLLM."""

    max_tokens: int | None = None  # None: as many as the context holds
    min_tokens: int = 0
    temperature: float = 1.0  # 0: always the likeliest token
    top_p: float = 1.0
    top_k: int = 0  # 0: all tokens
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False
    json_schema: str = ""  # JSON: the answer is an object of this schema; at most one of this and `regex`
    regex: str = ""  # the whole answer matches it


@dataclass(frozen=True, slots=True)
class Adapter:
    """One version of a LoRA adapter on disk; an engine knows it by name and number, which no other version bears."""

    name: str
    number: int  # from 1 on
    folder: str


@dataclass(frozen=True, slots=True)
class Piece:
    """What is new of an answer since its last piece, or all of it, character for character as the model wrote it."""

    text: str
    prompt_tokens: int
    completion_tokens: int  # from the first on, not of this piece alone
    finish_reason: FinishReason | None  # None: there is more to come


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
