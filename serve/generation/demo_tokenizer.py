"""The demo model's tokenizer: byte-level BPE in which quotes, digits and Chinese characters always stand alone."""

from collections.abc import Iterator

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from serve.generation.demo_corpus import copy_text, random_row
from serve.generation.demo_spelling import COMMON_HAN

END = "<|end|>"
PAD = "<|pad|>"
VOCABULARY = 8192
HAN_WEIGHT = 200  # times that each common Chinese character is shown on top of the rows, to get a token of its own
# What a title's words are cut into must not depend on what stands around the title.
_PIECES = r"""\p{Han}|\p{N}|["“”]| ?[\p{L}\p{M}&&[^\p{Han}]]+| ?[^\s\p{L}\p{M}\p{N}"“”]|\s"""


def train_tokenizer(seed: int, rows: int = 30_000) -> Tokenizer:
    """A tokenizer of `VOCABULARY` tokens, learned from training rows."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[PAD, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(seed, rows), trainer=trainer)
    return tokenizer


def tokenizer_config(max_length: int) -> dict[str, object]:
    """tokenizer_config.json for the folder that holds tokenizer.json."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": max_length,
        "eos_token": END,
        "pad_token": PAD,
        "clean_up_tokenization_spaces": False,
    }


def token_id(tokenizer: Tokenizer, token: str) -> int:
    """The number of a special token that the tokenizer must hold."""
    number = tokenizer.token_to_id(token)
    assert number is not None
    return number


def _texts(seed: int, rows: int) -> Iterator[str]:
    rng = np.random.default_rng((seed, 1))
    for _ in range(rows):
        row = random_row(rng)
        yield row.prompt + row.answer
        yield copy_text(rng)
    for _ in range(HAN_WEIGHT if rows >= VOCABULARY else 0):  # a few rows make a tokenizer for a test, without them
        yield COMMON_HAN
