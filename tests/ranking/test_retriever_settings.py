"""The retriever's settings: what was saved is what is served, and a bad file is an invalid release."""

import json
from pathlib import Path
from typing import Any

import pytest

from interest.errors import InvalidRelease
from ranking.release import ModelRepository, Release
from ranking.retriever_settings import RetrieverSettings, settings_of
from ranking.sources import DEFAULT_QUOTAS, SOURCES

EVEN = dict.fromkeys(SOURCES, 1)


def test_saved_settings_come_back(tmp_path: Path) -> None:
    settings = RetrieverSettings(EVEN | {"popular": 0}, 17)
    settings.save(tmp_path)
    assert RetrieverSettings.load(tmp_path) == settings


def test_trees_come_back_with_the_size_of_their_pool(tmp_path: Path) -> None:
    settings = RetrieverSettings(EVEN, 17, 40, "tree\n")
    settings.save(tmp_path)
    assert RetrieverSettings.load(tmp_path) == settings


def test_trees_of_other_features_are_refused_with_what_to_do(tmp_path: Path) -> None:
    RetrieverSettings(EVEN, 17, 40, "tree\n").save(tmp_path)
    settings = json.loads((tmp_path / "retriever.json").read_text())
    (tmp_path / "retriever.json").write_text(json.dumps(settings | {"features": ["colour"]}))
    with pytest.raises(InvalidRelease, match=r"retriever\.json: features: .*colour.*run a full training"):
        RetrieverSettings.load(tmp_path)


def test_features_without_their_trees_are_an_invalid_release(tmp_path: Path) -> None:
    RetrieverSettings(EVEN, 17, 40, "tree\n").save(tmp_path)
    (tmp_path / "pool.txt").unlink()
    with pytest.raises(InvalidRelease, match=r"retriever\.json: .*pool\.txt"):
        RetrieverSettings.load(tmp_path)


def test_a_release_without_a_retriever_has_the_default_settings(tmp_path: Path) -> None:
    release = Release(name="1", created=0.0, models={})
    assert settings_of(ModelRepository(tmp_path), release) == RetrieverSettings(dict(DEFAULT_QUOTAS), 320)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"quotas": EVEN}, "KeyError"),
        ({"candidates": 9}, "KeyError"),
        ({"quotas": EVEN, "candidates": 9, "colour": 1}, "colour"),
        ({"quotas": {"popular": 1}, "candidates": 9}, "must give a share to each"),
        ({"quotas": EVEN | {"luck": 1}, "candidates": 9}, "must give a share to each"),
        ({"quotas": [1], "candidates": 9}, "must give a share to each"),
        ({"quotas": EVEN | {"popular": -1}, "candidates": 9}, "0 or more"),
        ({"quotas": EVEN | {"popular": 0.5}, "candidates": 9}, "whole numbers"),
        ({"quotas": EVEN | {"popular": True}, "candidates": 9}, "whole numbers"),
        ({"quotas": dict.fromkeys(SOURCES, 0), "candidates": 9}, "one above 0"),
        ({"quotas": EVEN, "candidates": 0}, "candidates=0"),
        ({"quotas": EVEN, "candidates": "9"}, "candidates='9'"),
        ({"quotas": EVEN, "candidates": 9, "pool": 0}, "pool=0"),
        ({"quotas": EVEN, "candidates": 9, "features": 5}, "expected quotas and candidates"),
        ([], "expected quotas and candidates"),
    ],
)
def test_a_bad_file_is_an_invalid_release_that_names_it(tmp_path: Path, content: Any, said: str) -> None:
    (tmp_path / "retriever.json").write_text(json.dumps(content))
    with pytest.raises(InvalidRelease, match=rf"retriever\.json: .*{said}"):
        RetrieverSettings.load(tmp_path)


def test_a_file_that_is_missing_or_no_json_is_an_invalid_release(tmp_path: Path) -> None:
    with pytest.raises(InvalidRelease, match=r"retriever\.json: expected quotas"):
        RetrieverSettings.load(tmp_path)
    (tmp_path / "retriever.json").write_text("{")
    with pytest.raises(InvalidRelease, match=r"retriever\.json: expected quotas"):
        RetrieverSettings.load(tmp_path)
