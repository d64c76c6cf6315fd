"""Rows of the demo model as batches of tokens: sorted by length, so that little of them is padding."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from serve.generation.demo_corpus import copy_text, random_row
from serve.generation.demo_tokenizer import END, token_id

BATCH_TOKENS = 2048  # padded tokens of one step
POOL_BATCHES = 32  # rows of so many steps are sorted by length together
MAX_ROW_TOKENS = 400
COPY_SHARE = 0.1  # of rows that only repeat noise

Tokens = tuple[list[int], int]  # of a row, and where its answer begins


def batches(tokenizer: Tokenizer, seed: int, pool: int) -> Iterator[list[Tokens]]:
    """The batches of one pool of rows, each about `BATCH_TOKENS` padded tokens; the same for the same seed and pool."""
    rng = np.random.default_rng((seed, 2, pool))
    rows: list[Tokens] = []
    count = 0
    while count < POOL_BATCHES * BATCH_TOKENS:
        row = _row(tokenizer, rng)
        if len(row[0]) <= MAX_ROW_TOKENS:
            rows.append(row)
            count += len(row[0])
    rows.sort(key=lambda row: -len(row[0]))
    found: list[list[Tokens]] = [[]]
    for row in rows:
        if found[-1] and (len(found[-1]) + 1) * _padded(len(found[-1][0][0])) > BATCH_TOKENS:
            found.append([])
        found[-1].append(row)
    for number in rng.permutation(len(found)):
        yield found[number]


def tensors(rows: Sequence[Tokens]) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens [rows, length] padded on the right; flat positions before each answer token; those answer tokens."""
    length = _padded(max(len(row) for row, _ in rows))
    tokens = torch.zeros(len(rows), length, dtype=torch.int64)
    positions: list[int] = []
    targets: list[int] = []
    for number, (row, answer) in enumerate(rows):
        tokens[number, : len(row)] = torch.tensor(row)
        positions.extend(range(number * length + answer - 1, number * length + len(row) - 1))
        targets.extend(row[answer:])
    return tokens, torch.tensor(positions), torch.tensor(targets)


def _padded(length: int) -> int:
    return math.ceil(length / 8) * 8


def _row(tokenizer: Tokenizer, rng: np.random.Generator) -> Tokens:
    """Token ids of prompt, answer and end mark, and where the answer begins."""
    end = token_id(tokenizer, END)
    if rng.random() < COPY_SHARE:
        noise = _random_tokens(tokenizer, rng) if rng.random() < 0.75 else tokenizer.encode(copy_text(rng)).ids
        return [*noise, *tokenizer.encode("\n").ids, *noise, end], len(noise) + 1
    row = random_row(rng)
    head, tail = tokenizer.encode(row.prompt).ids, tokenizer.encode(row.answer).ids
    return [*head, *tail, end], len(head)


def _random_tokens(tokenizer: Tokenizer, rng: np.random.Generator) -> list[int]:
    """Any tokens in equal shares, now and then only a few of them, or a stretch of them again somewhere.

    Tokens that no training text holds would otherwise only ever be pushed down, until none can be told from another. A
    row of few tokens can only be repeated by who keeps its place: the last two tokens alone do not say what comes next.
    Of such rows a tenth is enough: more of them, and the model learns to repeat itself.
    """
    kinds = rng.integers(2, tokenizer.get_vocab_size(), size=int(rng.integers(8, 24) if rng.random() < 0.1 else 4096))
    ids = [int(token) for token in rng.choice(kinds, size=int(rng.integers(8, 60)))]
    for _ in range(rng.integers(0, 3)):
        start, length, at = int(rng.integers(len(ids))), int(rng.integers(1, 6)), int(rng.integers(len(ids) + 1))
        ids[at:at] = ids[start : start + length]
    return ids
