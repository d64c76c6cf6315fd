"""Batches of the demo model: full, sorted by length, and the same for the same seed."""

import numpy as np
import pytest
from tokenizers import Tokenizer

from serve.generation.demo_batches import BATCH_TOKENS, MAX_ROW_TOKENS, batches, tensors
from serve.generation.demo_tokenizer import END, train_tokenizer

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(seed=0, rows=300)


def test_batches_are_full_and_the_same_for_the_same_seed_and_pool(tokenizer: Tokenizer) -> None:
    first, second = (list(batches(tokenizer, 5, 3)) for _ in range(2))
    assert first == second
    padded = [len(batch) * max(len(row) for row, _ in batch) for batch in first]
    assert max(padded) <= BATCH_TOKENS
    assert np.median(padded) > 0.8 * BATCH_TOKENS
    end = tokenizer.token_to_id(END)
    assert all(row[-1] == end and 0 < answer < len(row) for batch in first for row, answer in batch)


def test_only_the_answer_is_learned() -> None:
    tokens, positions, targets = tensors([([5, 6, 7, 8], 2), ([5, 9, 3], 1)])
    assert tokens.tolist() == [[5, 6, 7, 8, 0, 0, 0, 0], [5, 9, 3, 0, 0, 0, 0, 0]]
    assert targets.tolist() == [7, 8, 9, 3]
    assert positions.tolist() == [1, 2, 8, 9]


def test_no_row_is_too_long_and_little_is_padding(tokenizer: Tokenizer) -> None:
    found = list(batches(tokenizer, 5, 4))
    tokens = [len(row) for batch in found for row, _ in batch]
    assert max(tokens) <= MAX_ROW_TOKENS
    padded = sum(tensors(batch)[0].numel() for batch in found)
    assert sum(tokens) > 0.85 * padded
