"""The OpenAI-compatible requests in types; null means the default, an unknown field is an error that names it."""

import json
from dataclasses import replace
from typing import Annotated, Any, Literal, cast

from pydantic import Discriminator, Field, StringConstraints, field_validator, model_validator

from interest.errors import InvalidRequest
from serve.generation.completion import Prompt, Sampling
from serve.generation.raw import RawRequest
from serve.schema import Body

MAX_SCHEMA_CHARS = 20_000  # of a JSON schema: it is compiled to a grammar before the first token
COMPLETION_TOKENS = 16  # of /v1/completions, where the caller does not say; as OpenAI has it
StopText = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Model = Annotated[str, StringConstraints(min_length=1, max_length=512)]
TokenId = Annotated[int, Field(ge=0)]
Text = Annotated[str, StringConstraints(min_length=1)]
Texts = Annotated[list[Text], Field(min_length=1)]
Tokens = Annotated[list[TokenId], Field(min_length=1)]


class OpenAIBody(Body):
    @model_validator(mode="before")
    @classmethod
    def _null_is_the_default(cls, raw: Any) -> Any:
        return {name: value for name, value in raw.items() if value is not None} if isinstance(raw, dict) else raw


class StreamOptions(OpenAIBody):
    include_usage: bool = False  # a last chunk without choices
    continuous_usage_stats: bool = False  # the usage so far in every chunk, as vLLM has it
    include_obfuscation: Literal[False] = False


class SamplingBody(OpenAIBody):
    """What both kinds of completions have in common; the second half are vLLM's additions."""

    model: Model
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()
    max_tokens: int | None = Field(None, ge=1)
    temperature: float = Field(1.0, ge=0, le=2)
    top_p: float = Field(1.0, gt=0, le=1)
    presence_penalty: float = Field(0.0, ge=-2, le=2)
    frequency_penalty: float = Field(0.0, ge=-2, le=2)
    stop: StopText | Annotated[list[StopText], Field(max_length=16)] = Field([])
    n: Literal[1] = 1
    logprobs: Literal[False] = False
    logit_bias: dict[str, float] = Field({}, max_length=0)
    seed: int | None = None
    user: str = ""
    top_k: int = Field(0, ge=-1)  # -1 and 0: all tokens
    min_p: float = Field(0.0, ge=0, le=1)
    repetition_penalty: float = Field(1.0, gt=0, le=10)
    min_tokens: int = Field(0, ge=0)
    ignore_eos: bool = False

    def sampling(self, max_tokens: int | None) -> Sampling:
        """Raises `InvalidRequest` for a seed that would have to mean something."""
        if self.seed is not None and self.temperature > 0:
            raise InvalidRequest("seed: sampling cannot be repeated here; temperature 0 can", "seed")
        if max_tokens is not None and self.min_tokens > max_tokens:
            raise InvalidRequest(f"min_tokens={self.min_tokens}: at most max_tokens={max_tokens}", "min_tokens")
        return Sampling(
            max_tokens=max_tokens,
            min_tokens=self.min_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=max(self.top_k, 0),
            min_p=self.min_p,
            presence_penalty=self.presence_penalty,
            frequency_penalty=self.frequency_penalty,
            repetition_penalty=self.repetition_penalty,
            stop=(self.stop,) if isinstance(self.stop, str) else tuple(self.stop),
            ignore_eos=self.ignore_eos,
        )


class CompletionBody(SamplingBody):
    """Texts to go on from, or token ids; of a list each is answered on its own."""

    prompt: Text | Tokens | Texts | Annotated[list[Tokens], Field(min_length=1)]
    echo: Literal[False] = False
    best_of: Literal[1] = 1

    def requests(self) -> list[RawRequest]:
        sampling = self.sampling(self.max_tokens or COMPLETION_TOKENS)
        return [RawRequest(prompt=prompt, sampling=sampling) for prompt in self._prompts()]

    def _prompts(self) -> list[Prompt]:
        if isinstance(self.prompt, str):
            return [self.prompt]
        one = isinstance(self.prompt[0], int)
        return [cast(list[int], self.prompt)] if one else cast(list[Prompt], self.prompt)


class TextPart(OpenAIBody):
    type: Literal["text"]
    text: str


class Message(OpenAIBody):
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart]
    name: str = ""

    def as_dict(self) -> dict[str, str]:
        content = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        return {"role": "system" if self.role == "developer" else self.role, "content": content}


class TextFormat(OpenAIBody):
    type: Literal["text"]


class NamedSchema(OpenAIBody):
    name: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    description: str = ""
    strict: bool = True  # there is no other way here: a token outside of the schema cannot be chosen
    json_schema: dict[str, Any] = Field(alias="schema")

    @field_validator("json_schema")
    @classmethod
    def _small_enough(cls, schema: dict[str, Any]) -> dict[str, Any]:
        size = len(json.dumps(schema))
        if size > MAX_SCHEMA_CHARS:
            raise ValueError(f"{size} characters, at most {MAX_SCHEMA_CHARS}")
        return schema


class SchemaFormat(OpenAIBody):
    type: Literal["json_schema"]
    json_schema: NamedSchema


class ChatBody(SamplingBody):
    messages: list[Message] = Field(min_length=1, max_length=1000)
    max_completion_tokens: int | None = Field(None, ge=1)  # before `max_tokens`, which is its old name
    response_format: Annotated[TextFormat | SchemaFormat, Discriminator("type")] | None = None

    def requests(self) -> list[RawRequest]:
        """One."""
        sampling = self.sampling(self.max_completion_tokens or self.max_tokens)
        if isinstance(self.response_format, SchemaFormat):
            schema = self.response_format.json_schema.json_schema
            sampling = replace(sampling, json_schema=json.dumps(schema, ensure_ascii=False))
        return [RawRequest(messages=tuple(message.as_dict() for message in self.messages), sampling=sampling)]


class EmbeddingsBody(OpenAIBody):
    model: Model
    input: str | Annotated[list[str], Field(min_length=1)]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(None, ge=1)
    user: str = ""


class Document(OpenAIBody):
    text: str


class RerankBody(OpenAIBody):
    """The request of Cohere, Jina and vLLM."""

    query: str
    documents: list[str | Document] = Field(min_length=1)
    model: Model | None = None  # None: the encoder of the live release
    top_n: int | None = Field(None, ge=1)
    return_documents: bool = False

    def texts(self) -> list[str]:
        return [one if isinstance(one, str) else one.text for one in self.documents]
