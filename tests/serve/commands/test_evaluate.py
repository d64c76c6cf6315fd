"""`attune evaluate` on a tiny folder: both splits, all baselines, the numbers written down and used again."""

import json
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from numpy.testing import assert_array_equal
from rich.console import Console
from typer.testing import CliRunner

from interest.errors import AttuneError, InvalidConfig
from ranking.comparison import Truth
from ranking.tasks import strict_cut
from serve.cli import app
from serve.commands.evaluate import agree, evaluate_data, known_settings
from serve.commands.run import home_of, prepare

DAY_S = 86_400
QUIET = Console(quiet=True)


def write_films(folder: Path) -> Path:
    """50 films, 40 users of two tastes, 30 ratings each over 100 days; the last three of each are held out."""
    folder.mkdir()
    rng = np.random.default_rng(8)
    rows = []
    for user in range(40):
        films = rng.permutation(25)[:15] * 2 + user % 2
        days = np.sort(rng.uniform(0, 100, 15))
        rows += [(user, f"{film:04}", 8, int(day * DAY_S)) for film, day in zip(films, days, strict=True)]
    names = ("user_id", "item_id", "rating", "timestamp")
    late = [place for place in range(len(rows)) if place % 15 >= 12]
    for name, part in (
        ("train", [row for place, row in enumerate(rows) if place not in late]),
        ("validation", [rows[place] for place in late]),
    ):
        columns = dict(zip(names, map(list, zip(*part, strict=True)), strict=True))
        pyarrow.parquet.write_table(pyarrow.table(columns), folder / f"{name}.parquet")
    items = {
        "item_id": [f"{film:04}" for film in range(50)],
        "title": [f"{'Night' if film % 2 else 'Day'} film {film}" for film in range(50)],
        "year": [1990 + film for film in range(50)],
        "genres": ["Horror" if film % 2 else "Comedy" for film in range(50)],
    }
    pyarrow.parquet.write_table(pyarrow.table(items), folder / "items.parquet")
    return folder


@pytest.mark.thorough
def test_both_splits_are_measured_beside_tuned_baselines_and_their_settings_can_be_used_again(tmp_path: Path) -> None:
    data, state = write_films(tmp_path / "films"), tmp_path / "state"
    cut = strict_cut(data)
    prepare(QUIET, data, "train", home_of(state, data, "train"))
    prepare(QUIET, data, "all", home_of(state, data, "all", cut), cut)
    asked = ["evaluate", str(data), "--state", str(state)]
    for protocol in ("per-user", "strict"):
        output = tmp_path / f"{protocol}.json"
        done = CliRunner().invoke(app, [*asked, "--protocol", protocol, "--json", str(output)])
        assert done.exit_code == 0, done.output
        (task,) = json.loads(output.read_text())
        names = [method["name"] for method in task["methods"]]
        assert {"popularity, recent", "item-kNN", "iALS", "BPR", "EASE", "content cosine", "Attune"} <= set(names)
        own = task["methods"][-1]
        assert (task["protocol"], own["settings"]["path"], task["users"]) == (protocol, "offline", task["users"])
        assert {"precision@10", "recall@20", "f1@10", "ndcg@20", "hit_rate@10"} <= set(own["metrics"])
        assert 0 < own["lists"]["coverage"] <= 1
    again = evaluate_data(QUIET, data, "", state, None, None, "strict", settings=tmp_path / "strict.json")
    earlier = json.loads((tmp_path / "strict.json").read_text())[0]
    assert json.loads(json.dumps(again[0].to_json())) == earlier
    (ablated,) = evaluate_data(QUIET, data, "", state, 10, None, baselines=False, ablate=True)
    names = [method.name for method in ablated.comparison.methods]
    assert names[:2] == ["Attune", "Attune without the learned reranker"]
    assert "Attune without source popular" in names
    assert ablated.comparison.users == 10


@pytest.mark.thorough
def test_a_release_that_saw_the_test_time_is_not_measured_by_the_strict_cut(tmp_path: Path) -> None:
    data, state = write_films(tmp_path / "films"), tmp_path / "state"
    prepare(QUIET, data, "all", home_of(state, data, "all", strict_cut(data)))
    with pytest.raises(InvalidConfig, match="trained until None"):
        evaluate_data(QUIET, data, "", state, None, None, "strict")


def test_an_unknown_protocol_and_a_folder_without_held_out_events_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match=r"no validation\.parquet"):
        evaluate_data(QUIET, tmp_path, "", tmp_path, None, None)
    with pytest.raises(InvalidConfig, match="protocol=both"):
        evaluate_data(QUIET, write_films(tmp_path / "films"), "", tmp_path, None, None, "both")


def test_without_a_home_the_error_says_which_command_makes_it(tmp_path: Path) -> None:
    data = write_films(tmp_path / "films")
    with pytest.raises(InvalidConfig, match=rf"--data .*films --split all --until {strict_cut(data)!r}"):
        evaluate_data(QUIET, data, "", tmp_path, None, None, "strict")


def test_settings_that_no_run_wrote_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"tasks": [{"name": 1}]}')
    with pytest.raises(InvalidConfig, match=r"x\.json: not what an evaluation wrote"):
        known_settings(tmp_path / "x.json", "strict")


def test_one_user_whose_lists_differ_between_http_and_offline_is_an_error() -> None:
    truth = Truth(np.array([0, 1, 2]), np.array([1, 2]), np.eye(3, dtype=np.float32), np.ones(3), 2)
    served = np.full((2, 20), -1)
    served[:, 0] = 1
    offline = served.copy()
    agree("new", served, offline, truth)
    offline[1, 1] = 2
    with pytest.raises(AttuneError, match=r"new: precision@10 differs between HTTP and offline for 1 users"):
        agree("new", served, offline, truth)
    assert_array_equal(served[:, 1], -1)
