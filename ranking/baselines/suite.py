"""The baselines that Attune is measured against, all tuned on the same users over the same data."""

from collections.abc import Callable, Mapping, Sequence

from ranking.baselines.base import Baseline, Settings
from ranking.baselines.blend import Part
from ranking.baselines.content import Content
from ranking.baselines.counting import WINDOWS_DAYS, OwnCounts, Popularity
from ranking.baselines.data import World
from ranking.baselines.ease import Ease
from ranking.baselines.factors import Bpr, Ials
from ranking.baselines.neighbours import ItemKnn, UserKnn
from ranking.baselines.tuning import Questions, Tuned, tune, tune_blend

KEPT = 3  # best settings of a baseline that a blend chooses from

ALL_TIME, RECENT = Popularity("popularity, all time", (None,)), Popularity("popularity, recent", WINDOWS_DAYS)
EASE, USERS, OWN = Ease(), UserKnn(), OwnCounts()
COUNTS = (RECENT.name, OWN.name)  # enter a blend by their logarithm

Progress = Callable[[str, int, int | None], None]


def tune_all(world: World, many: Mapping[str, Questions], progress: Progress) -> dict[str, list[Tuned]]:
    """Every baseline and every blend, tuned for each of these questions; `progress` hears (what, done, of)."""
    found: dict[str, list[Tuned]] = {name: [] for name in many}
    for one in (one for one in baselines() if one is not OWN):
        for name, tuned in zip(many, tune(one, world, list(many.values()), _counter(progress, one)), strict=True):
            found[name].append(tuned)
    for name, questions in many.items():
        if not questions.requests.exclude_seen:
            found[name] += tune(OWN, world, [questions], _counter(progress, OWN))
        blends = _blends({one.name: one for one in found[name]})
        for place, (title, parts) in enumerate(blends.items()):
            found[name].append(tune_blend(title, parts, world, questions))
            progress(f"blends, {name}", place + 1, len(blends))
    return found


def baselines() -> list[Baseline]:
    """All of them by themselves; own counts only mean something where people buy again."""
    return [ALL_TIME, RECENT, Content(), ItemKnn(), USERS, Ials(), Bpr(), EASE, OWN]


def _blends(tuned: Mapping[str, Tuned]) -> dict[str, list[Part]]:
    """What is blended, from each part's best settings; with own counts where people buy again."""

    def part(baseline: Baseline, candidates: Sequence[Settings] = ()) -> Part:
        logarithm = baseline.name in COUNTS
        return Part(baseline, [*tuned[baseline.name].best[:KEPT], *candidates], logarithm)

    popular = part(RECENT, tuned[RECENT.name].best[KEPT:])
    blends = {
        "EASE + recent popularity": [part(EASE), popular],
        "EASE + user-kNN + recent popularity": [part(EASE), part(USERS), popular],
    }
    if OWN.name in tuned:
        bought = part(OWN, ({"window_days": 200.0, "half_life_days": None, "ties": "latest"},))
        blends |= {
            "own counts + recent popularity": [bought, popular],
            "own counts + user-kNN": [bought, part(USERS)],
            "own counts + EASE + recent popularity": [bought, part(EASE), popular],
            "own counts + EASE + user-kNN + recent popularity": [bought, part(EASE), part(USERS), popular],
        }
    return blends


def _counter(progress: Progress, baseline: Baseline) -> Callable[[], None]:
    done = 0

    def count() -> None:
        nonlocal done
        done += 1
        progress(baseline.name, done, len(baseline.grid))

    return count
