"""One request to a running vLLM engine: our sampling in its words, its answer and its errors in ours."""

from collections.abc import AsyncGenerator
from typing import Any

from interest.errors import EngineDead, InvalidRelease, InvalidRequest
from serve.generation.completion import Adapter, FinishReason, Piece, Prompt, Sampling


async def pieces(
    engine: Any,
    prompt: Prompt,
    request_id: str,
    sampling: Sampling,
    final_only: bool,
    cache_salt: str,
    adapter: Adapter | None,
) -> AsyncGenerator[Piece, None]:
    """The answer piece by piece, or whole in one. Closing the iterator, or cancelling who waits, drops the request.

    Blocks of the prefix cache serve only requests of one `cache_salt` and one adapter; "" is a salt like any other.
    Raises `InvalidRequest` for what vLLM refuses, such as a prompt that does not fit; `EngineDead`.
    """
    from vllm.exceptions import VLLMValidationError
    from vllm.v1.engine.exceptions import EngineDeadError

    asked: dict[str, Any] = {"prompt": prompt} if isinstance(prompt, str) else {"prompt_token_ids": prompt}
    if cache_salt:
        asked["cache_salt"] = cache_salt
    prompt_tokens = completion_tokens = 0
    try:
        lora = None if adapter is None else _lora(adapter)
        async for output in engine.generate(asked, _parameters(sampling, final_only), request_id, lora_request=lora):
            answer = output.outputs[0]
            prompt_tokens = prompt_tokens or len(output.prompt_token_ids or ())
            completion_tokens += len(answer.token_ids)
            yield Piece(answer.text, prompt_tokens, completion_tokens, _reason(answer.finish_reason))
    except EngineDeadError as error:
        raise EngineDead("the language model engine has died") from error
    except (ValueError, VLLMValidationError) as error:  # the first until vLLM had a class of its own
        raise InvalidRequest(f"the language model refuses the request: {error}") from error


async def add_adapter(engine: Any, adapter: Adapter) -> None:
    """Load it beside what is served. Raises `InvalidRelease` for one that does not fit the model, `EngineDead`."""
    from vllm.v1.engine.exceptions import EngineDeadError

    try:
        await engine.add_lora(_lora(adapter))
    except EngineDeadError as error:
        raise EngineDead("the language model engine has died") from error
    except Exception as error:  # whatever the engine's process raised, it comes as a plain exception with its text
        raise InvalidRelease(f"adapter {adapter.name}: the engine does not load it: {error}") from error


def _lora(adapter: Adapter) -> Any:
    from vllm.lora.request import LoRARequest

    return LoRARequest(adapter.name, adapter.number, adapter.folder)


def _parameters(sampling: Sampling, final_only: bool) -> Any:
    """Never a seed: on a CPU a seeded request with a chunked prompt ends the whole engine."""
    from vllm.sampling_params import RequestOutputKind, SamplingParams, StructuredOutputsParams

    structure = None
    if sampling.json_schema or sampling.regex:
        structure = StructuredOutputsParams(json=sampling.json_schema or None, regex=sampling.regex or None)

    return SamplingParams(
        max_tokens=sampling.max_tokens,
        min_tokens=sampling.min_tokens,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        min_p=sampling.min_p,
        presence_penalty=sampling.presence_penalty,
        frequency_penalty=sampling.frequency_penalty,
        repetition_penalty=sampling.repetition_penalty,
        stop=list(sampling.stop),
        ignore_eos=sampling.ignore_eos,
        structured_outputs=structure,
        output_kind=RequestOutputKind.FINAL_ONLY if final_only else RequestOutputKind.DELTA,
    )


def _reason(reason: str | None) -> FinishReason | None:
    """vLLM has more words for an end; to a caller they are either the model's own or a cut."""
    if reason is None:
        return None
    return "stop" if reason == "stop" else "length"
