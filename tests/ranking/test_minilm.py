"""The written-out MiniLM against transformers' own, and what it refuses to load."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest

from interest.errors import InvalidRelease
from ranking.minilm import MAX_TOKENS, MiniLMEncoder, packaged_weights
from ranking.ngram import unit_rows

TEXTS = (
    "white hanging heart t-light holder",
    "A man is eating pasta.",
    "手冲咖啡壶",
    "x",
    "the same words again and again " * 40,
)


@pytest.mark.slow
def test_the_forward_pass_equals_that_of_transformers() -> None:
    with warnings.catch_warnings():  # theirs to raise, at import
        warnings.simplefilter("ignore")
        import torch
        from tokenizers import Tokenizer
        from transformers import BertModel

        model = BertModel.from_pretrained(packaged_weights(), local_files_only=True).eval()
    tokenizer = Tokenizer.from_file(str(packaged_weights() / "tokenizer.json"))
    tokenizer.enable_truncation(MAX_TOKENS)
    tokenizer.no_padding()
    rows = []
    for text in TEXTS:
        with torch.inference_mode():
            hidden = model(input_ids=torch.tensor([tokenizer.encode(text).ids])).last_hidden_state
        rows.append(hidden.mean(dim=1).numpy()[0])
    np.testing.assert_allclose(MiniLMEncoder().encode(TEXTS), unit_rows(np.array(rows)), atol=1e-5)


def test_sentences_with_one_meaning_are_near_although_they_share_few_words() -> None:
    a, b, c = MiniLMEncoder().encode(["A man is eating food.", "Somebody has a meal.", "The stock market fell."])
    assert a @ b > a @ c + 0.2


def test_the_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    settings = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    with pytest.raises(InvalidRelease, match="expected"):
        MiniLMEncoder(tmp_path)
