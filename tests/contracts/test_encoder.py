"""What any encoder must do, whichever model is behind it."""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from interest.batch import Floats
from ranking.encoder import CachedEncoder, CombinedEncoder, Encoder, MiniLMEncoder, NgramEncoder, load_encoder

pytestmark = pytest.mark.thorough

TEXTS = (
    "white hanging heart t-light holder",
    "red hanging heart t-light holder",
    "set of six wooden garden chairs",
    "手冲咖啡壶套装",
    "便携手冲咖啡壶",
    "iPhone 15 手机壳",
    "A longer text.\nIt has two lines, 3 numbers, and ends here: 2024!",
)
BLANK = ("", "  \n ")


@cache
def minilm() -> MiniLMEncoder:
    return MiniLMEncoder()


@cache
def ngram() -> NgramEncoder:
    return NgramEncoder.fit(TEXTS, 8, np.random.default_rng(0))


ENCODERS: dict[str, Callable[[], Encoder]] = {
    "ngram": ngram,
    "minilm": minilm,
    "combined": lambda: CombinedEncoder(ngram(), minilm()),
    "cached": lambda: CachedEncoder(ngram()),
}


@pytest.fixture(params=sorted(ENCODERS))
def encoder(request: pytest.FixtureRequest) -> Encoder:
    return ENCODERS[request.param]()


def assert_unit_or_zero(vectors: Floats, texts: Sequence[str]) -> None:
    lengths = np.linalg.norm(vectors, axis=1)
    np.testing.assert_allclose(lengths, [float(bool(text.strip())) for text in texts], atol=1e-5)


def test_each_text_has_its_own_count_of_tokens_whatever_stands_beside_it(encoder: Encoder) -> None:
    counts = encoder.count_tokens((*TEXTS, *BLANK))
    assert counts.dtype == np.int64
    assert counts.tolist() == [int(encoder.count_tokens([text])[0]) for text in (*TEXTS, *BLANK)]
    assert (counts[: len(TEXTS)] > 0).all()
    assert not counts[len(TEXTS) :].any()
    longest = encoder.count_tokens(["word " * 3000, "word " * 6000])
    assert longest[0] == longest[1], "more is counted than is read"


def test_rows_are_float32_of_unit_length_and_blank_texts_are_zero(encoder: Encoder) -> None:
    texts = (*TEXTS, *BLANK)
    vectors = encoder.encode(texts)
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(texts), encoder.dims)
    assert_unit_or_zero(vectors, texts)


def test_no_texts_make_no_rows(encoder: Encoder) -> None:
    assert encoder.encode([]).shape == (0, encoder.dims)


def test_a_text_has_the_same_vector_alone_and_among_others(encoder: Encoder) -> None:
    together = encoder.encode(TEXTS)
    for row, text in enumerate(TEXTS):
        np.testing.assert_allclose(encoder.encode([text])[0], together[row], atol=1e-5)


def test_rows_follow_the_order_of_the_texts_and_repeats_are_equal(encoder: Encoder) -> None:
    forwards, backwards = encoder.encode(TEXTS), encoder.encode(TEXTS[::-1])
    np.testing.assert_allclose(forwards, backwards[::-1], atol=1e-5)
    twice = encoder.encode([TEXTS[0], TEXTS[3], TEXTS[0]])
    np.testing.assert_allclose(twice[0], twice[2], atol=1e-6)


def test_texts_about_one_thing_are_nearer_than_texts_about_another(encoder: Encoder) -> None:
    vectors = encoder.encode(TEXTS)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.1


def test_a_saved_encoder_gives_the_same_vectors_under_the_same_name(encoder: Encoder, tmp_path: Path) -> None:
    encoder.save(tmp_path)
    loaded = load_encoder(tmp_path)
    assert (loaded.name, loaded.dims) == (encoder.name, encoder.dims)
    np.testing.assert_allclose(loaded.encode(TEXTS), encoder.encode(TEXTS), atol=1e-6)
