"""`attune run` up to the server: what is there is used again, what changed is done again, nothing is mixed."""

import json
import os
from contextlib import closing
from pathlib import Path

import pytest
from rich.console import Console

from interest.errors import InvalidConfig
from interest.events import Facet, InterestEdit
from interest.store.open import open_reader, open_writer
from ranking.release import ModelRepository
from serve.commands import run

QUIET = Console(quiet=True)


def shop(folder: Path, title: str = "lamp", purchases: int = 1) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "items.jsonl").write_text(json.dumps({"item_id": "1", "title": title}) + "\n")
    events = [
        {"event_id": str(n), "type": "purchase", "user_id": f"u{n}", "item_id": "1", "timestamp": 1_300_000_000 + n}
        for n in range(purchases)
    ]
    (folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    return folder.resolve()


def store_in(folder: Path) -> str:
    return f"sqlite:///{folder / 'attune.db'}"


def test_two_folders_of_one_name_are_not_mixed(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    run._load(QUIET, shop(tmp_path / "a" / "export"), "train", store)
    with pytest.raises(InvalidConfig, match="a/export"):
        run._load(QUIET, shop(tmp_path / "b" / "export", "teapot"), "train", store)
    with closing(open_reader(store)) as reader:
        item = reader.item("1")
    assert item is not None
    assert item.title == "lamp"


@pytest.mark.thorough
def test_data_that_changed_are_trained_on_again_and_others_are_not(tmp_path: Path) -> None:
    store, repository = store_in(tmp_path), tmp_path / "models"
    for written_again in range(2):
        folder = shop(tmp_path / "export")
        os.utime(folder / "events.jsonl", (written_again, written_again))
        run._load(QUIET, folder, "train", store)
        run._train(QUIET, store, repository)
        assert ModelRepository(repository).releases() == ["1"]
    shop(folder, purchases=2)
    run._load(QUIET, folder, "train", store)
    run._train(QUIET, store, repository)
    assert ModelRepository(repository).releases() == ["1", "2"]


def test_somebody_with_events_is_shown_and_a_stranger_where_nobody_has_any(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    folder = shop(tmp_path / "export")
    (folder / "events.jsonl").unlink()
    run._load(QUIET, folder, "train", store)
    with closing(open_writer(store)) as writer:
        edit = InterestEdit(record_id="r", user_id="declares", timestamp=1.0, facets=((Facet("tag", "tea"), 1.0),))
        writer.append([edit])
    assert run._somebody(store) == ("somebody", "1")
    shop(folder, purchases=3)
    run._load(QUIET, folder, "train", store)
    assert run._somebody(store) == ("u1", "1")
