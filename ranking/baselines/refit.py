"""Baselines at settings that an earlier run found best: fitted and measured anew, without trying the whole grids."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from interest.errors import InvalidConfig
from ranking.baselines.base import Baseline, rank
from ranking.baselines.blend import Chosen, Part, fit_blend
from ranking.baselines.data import World
from ranking.baselines.suite import COUNTS, baselines
from ranking.baselines.tuning import LISTED, Questions, Tuned

Known = Sequence[Mapping[str, Any]]  # name, settings and tried of each baseline, as a comparison writes them down


def refit_all(
    world: World, many: Mapping[str, Questions], known: Mapping[str, Known], progress: Callable[[str, int, int], None]
) -> dict[str, list[Tuned]]:
    """The lists that `suite.tune_all` gives at these settings. Raises `InvalidConfig` for a task without any."""
    by_name = {one.name: one for one in baselines()}
    found: dict[str, list[Tuned]] = {}
    for name, questions in many.items():
        if not known.get(name):
            raise InvalidConfig(f"settings: none for task {name}")
        found[name] = []
        for place, one in enumerate(known[name]):
            found[name].append(_refit(world, questions, one, by_name))
            progress(f"baselines, {name}", place + 1, len(known[name]))
    return found


def _refit(world: World, questions: Questions, known: Mapping[str, Any], by_name: Mapping[str, Baseline]) -> Tuned:
    settings: Mapping[str, Any] = known["settings"]
    if known["name"] in by_name:
        scorer = by_name[known["name"]].fit(world, settings)
    else:
        scorer = fit_blend(world, [_chosen(name, part, by_name) for name, part in settings.items()])
    ranked = rank(scorer.scores(questions.requests), questions.requests, LISTED)
    return Tuned(known["name"], settings, known["tried"], ranked, ())


def _chosen(name: str, part: Mapping[str, Any], by_name: Mapping[str, Baseline]) -> Chosen:
    if name not in by_name:
        raise InvalidConfig(f"settings: {name!r} is no baseline: must be one of {', '.join(by_name)}")
    settings = {key: value for key, value in part.items() if key != "weight"}
    return Chosen(Part(by_name[name], (settings,), logarithm=name in COUNTS), settings, float(part["weight"]))
