"""What an adapter is to write: of the model's own texts for one task, the one that readers like best.

Rejection sampling, or best of n (Dong et al. 2023, "RAFT: Reward rAnked FineTuning", section 3): the model writes a
text for each of `VARIANTS` plans of a task, the check drops what is untrue, and a `Preference` that was fitted to pairs
ranks the rest. The better half stays as it is; the prompt of each other one is to be answered by the best of those that
may be said of an item of any domain: an adapter takes what it has learned to all of them. So every text to learn is one
that the model writes and that is true, half of the lessons hold it where it was, and who is spoken to stays the same:
only texts that name the same interests of their reader are compared.

Pairs alone teach less: of the text that was liked, most is the title and the facts, and the plan that the prompt names
outweighs the rest. An adapter by DPO (Rafailov et al. 2023) told them apart and wrote what it had written before.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from serve.adaptation.pairs import Pair, named_interests
from serve.adaptation.preference import Preference, words_of
from serve.generation.generator import GeneratedText
from serve.generation.grounding import check
from serve.generation.prompt import GenerationTask

VARIANTS = 12  # of each task
MOST_TASKS = 200


@dataclass(frozen=True, slots=True)
class Lesson:
    """One prompt, and the text that it is to be answered by."""

    task: GenerationTask
    text: str
    own: bool  # it is what the model says there anyway


def preference_of(pairs: Sequence[Pair]) -> Preference:
    """What the readers of these pairs like."""
    return Preference([(words_of(one.chosen, one.task), words_of(one.rejected, one.task)) for one in pairs])


def asked_tasks(pairs: Sequence[Pair], rng: np.random.Generator) -> list[GenerationTask]:
    """`VARIANTS` tasks in a row for each task of the pairs, or for `MOST_TASKS` of them by chance.

    The content types of the pairs take turns, so that each is learned about all items: from the few that it was shown
    about in one domain, an adapter takes sentences of another for those that it lacks.
    """
    tasks = list(dict.fromkeys(pair.task for pair in pairs))
    kinds = sorted({task.content_type for task in tasks})
    chosen = [tasks[place] for place in sorted(rng.permutation(len(tasks))[:MOST_TASKS].tolist())]
    turned = [replace(task, content_type=kinds[number % len(kinds)]) for number, task in enumerate(chosen)]
    return [replace(task, variant=task.variant + more) for task in turned for more in range(VARIANTS)]


def lessons(
    tasks: Sequence[GenerationTask],
    texts: Sequence[GeneratedText | None],
    pairs: Sequence[Pair],
    preference: Preference,
) -> list[Lesson]:
    """`tasks` as by `asked_tasks`, `texts` by the model for them, in order. No lesson where it had nothing true to say.

    What readers liked of a task is in its competition too: a model that says the same for every plan learns that.
    """
    liked: dict[GenerationTask, list[str]] = {}
    for pair in pairs:
        liked.setdefault(pair.task, []).append(pair.chosen)
    found: list[Lesson] = []
    for first in range(0, len(tasks), VARIANTS):
        some = slice(first, first + VARIANTS)
        found += _of_one_task(tasks[some], texts[some], liked.get(tasks[first], []), preference)
    return found


def _of_one_task(
    tasks: Sequence[GenerationTask],
    texts: Sequence[GeneratedText | None],
    liked: Sequence[str],
    preference: Preference,
) -> list[Lesson]:
    own = [one.text for one in texts if one is not None and one.source == "model"]
    ranked = _ranked([*own, *liked], tasks[0], preference)
    found: list[Lesson] = []
    for task, shown in zip(tasks, texts, strict=True):
        rivals = [] if shown is None else ranked.get(named_interests(shown.text, task), [])
        if shown is None or not rivals:
            continue
        better = rivals[: (len(rivals) + 1) // 2]
        stays = shown.source == "model" and shown.text in better
        best = next((text for text in better if _true_anywhere(text, task)), better[0])
        found.append(Lesson(task, shown.text if stays else best, stays))
    return found


def _true_anywhere(text: str, task: GenerationTask) -> bool:
    """Whether it may be said of an item of any domain."""
    own_grammar = check(text, task, closed=True).ok
    return check(text, replace(task, item=replace(task.item, domain="")), closed=own_grammar).ok


def _ranked(texts: Sequence[str], task: GenerationTask, preference: Preference) -> dict[frozenset[str], list[str]]:
    """By the interests they name, the most preferred first; of equals the one that came first."""
    found: dict[frozenset[str], list[str]] = {}
    for text in dict.fromkeys(texts):
        found.setdefault(named_interests(text, task), []).append(text)
    return {
        names: sorted(some, key=lambda text: -preference.score(words_of(text, task))) for names, some in found.items()
    }
