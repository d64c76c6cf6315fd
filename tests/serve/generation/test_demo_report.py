"""The report on a model: tasks from the synthetic world, shares from what became of them."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ranking.synthetic import World, make_world
from serve.generation.demo_report import Report, world_tasks
from serve.generation.generator import GeneratedText
from serve.generation.grounding import Reason, check
from serve.generation.prompt import CONTENT_TYPES, LANGUAGES, facts_of
from serve.generation.templates import template_text


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(np.random.default_rng(1), items_per_domain=40, users=30, events=0)


def test_tasks_take_turns_through_languages_and_content_types(world: World) -> None:
    tasks = world_tasks(world, 600, np.random.default_rng(2))
    cells = [(task.language, task.content_type) for task in tasks]
    assert {cells.count((language, kind)) for language in LANGUAGES for kind in CONTENT_TYPES} == {100}
    assert 0.3 < np.mean([bool(facts_of(task).matches) for task in tasks]) < 0.9


def test_every_task_of_the_world_has_a_template_text_that_passes(world: World) -> None:
    for task in world_tasks(world, 300, np.random.default_rng(3)):
        assert check(template_text(task), task).ok, task


def test_shares_count_only_what_the_model_wrote_and_the_check_let_pass(world: World) -> None:
    tasks = world_tasks(world, 4, np.random.default_rng(4))  # en, zh, en, zh
    good = GeneratedText("a", "model", None, 10, 5)
    bad = GeneratedText("b", "template", Reason.NUMBER, 10, 5)
    report = Report([good, bad, None, good], tasks, seconds=2.0)
    assert (report.share("en"), report.share("zh")) == (0.5, 0.5)
    numbers = report.as_json()
    assert numbers["texts_per_s"] == 2.0
    assert numbers["refused"] == {"number": 1}
    assert numbers["unfinished"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--constrain-title"]], ids=["free", "title held"])
def test_the_shipped_model_writes_nearly_every_text_of_a_synthetic_world(tmp_path: Path, options: list[str]) -> None:
    command = ["demo-model", "evaluate", "--texts", "120", "--json", str(tmp_path / "report.json"), *options]
    subprocess.run([sys.executable, "-c", "from serve.cli import main; main()", *command], check=True, timeout=240)
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["texts"], report["unfinished"]) == (120, 0)
    assert min(report["model_share"].values()) >= 0.9
