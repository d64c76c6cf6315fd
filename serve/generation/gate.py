"""What may enter the engine's queue: a prompt that leaves room for its answer, and one that only we have worded."""

from collections.abc import Iterable
from typing import Any

from interest.errors import InvalidRequest
from serve.generation.prompt import Facts
from serve.generation.untrusted import ControlToken, holds_any

SENTENCE_TOKENS = 32  # of an answer beside the title


class Gate:
    """`tokenizer` is the model's own, `max_model_len` the tokens that prompt and answer have together."""

    def __init__(self, tokenizer: Any, max_model_len: int) -> None:
        self._tokenizer = tokenizer
        self._max_model_len = max_model_len
        self._control_tokens = control_tokens(tokenizer)

    def check_facts(self, facts: Facts, domain: str) -> None:
        """Raises `ControlToken`: the model would read it as the end of the facts and the beginning of an order."""
        words = (facts.title, domain, *facts.categories, *facts.tags, *facts.matches, *facts.likes)
        if holds_any(words, self._control_tokens):
            raise ControlToken("a fact holds a control token of the language model")

    def admitted(self, prompt: str, title: str, add_special_tokens: bool = True) -> list[int]:
        """The prompt's token ids. Raises `InvalidRequest` where an answer with this title would have to be cut.

        Refused here, it takes no place in the queue and no step of the engine.
        """
        ids: list[int] = self._tokenizer.encode(prompt, add_special_tokens=add_special_tokens)
        answer = len(self._tokenizer.encode(title, add_special_tokens=False)) + SENTENCE_TOKENS
        if len(ids) + answer > self._max_model_len:
            limit = self._max_model_len
            raise InvalidRequest(f"prompt: {len(ids)} tokens and {answer} for the answer, together at most {limit}")
        return ids


def control_tokens(tokenizer: Any) -> tuple[str, ...]:
    """Every token that stands for no text of its own, such as `<|im_start|>`; words that were only added are none."""
    names: Iterable[str] = {*tokenizer.all_special_tokens, *tokenizer.get_added_vocab()}
    return tuple(sorted(name for name in names if name.strip() and not name.strip().isalnum()))
