"""Can one tell from a text alone for whom it was written? And what do several candidates an item buy?

    python -m benchmarks.bench_personal --data shared/data/online-retail --data shared/data/movietweetings-142k

A pair is one item and two readers of its catalogue whose interests are unlike (cosine of the facets below
`UNLIKE`). A text is written for each, and a probe sees the text without its title and both profiles, and guesses whose
it is: by the weight of the interests that it names (a tie goes to the embedding, one there to chance, which counts as
half), and, by itself, by the cosine of text and profile embeddings. Accuracy is the mean over pairs of the share of
their two texts guessed right, with a bootstrap interval over pairs.

Beside the model: the templates for the same tasks, and as a control the texts of another pair under the same profiles,
which must be guessed no better than by chance. `candidates` n takes the best of n texts by
serve/generation/choosing.py; what chooses and what probes look at the same profile, so the gain says that the choice
does its work, and not that a third party would agree.
"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.bench_recommend import machine
from benchmarks.readers import Corpus, Reader, load_corpus, task_of
from benchmarks.recording import Run, run
from interest.batch import Doubles, Floats
from ranking.bootstrap import mean_intervals
from ranking.encoder import CachedEncoder, CombinedEncoder, MiniLMEncoder, NgramEncoder
from serve.generation.choosing import best_of, coverage, profile_vector, scored, spoken
from serve.generation.engine import GenerationEngine
from serve.generation.generator import GeneratedText
from serve.generation.grounding import mentions
from serve.generation.prompt import CONTENT_TYPES, LANGUAGES, GenerationTask, clean_name
from serve.generation.settings import EngineConfig
from serve.generation.templates import template_text
from serve.text_choice import variants

RESULTS = Path("benchmarks/results/personal.json")
READERS = 300  # a catalogue
UNLIKE = 0.5  # cosine below which two readers are unlike
CANDIDATES = (1, 4, 8)
QUICK = 16  # pairs
FITTED_ITEMS, NGRAM_DIMS = 4_000, 64  # of each catalogue, for the language-neutral half of the encoder


@dataclass(frozen=True, slots=True)
class Pair:
    """One item, two readers, and the task of each."""

    data: str
    readers: tuple[Reader, Reader]
    tasks: tuple[GenerationTask, GenerationTask]


def main(
    data: Annotated[list[Path], typer.Option(help="A folder with a catalogue; several times for several.")],
    pairs: int = 600,
    model: Annotated[str, typer.Option(help="demo, a folder or a hub id.")] = "demo",
    seed: int = 0,
    quick: Annotated[bool, typer.Option(help=f"{QUICK} pairs: whether it runs, not a measurement.")] = False,
    output: Path = RESULTS,
) -> None:
    """Measure, print a table, write raw JSON."""
    console, where, rng = Console(), machine(), np.random.default_rng(seed)
    corpora = [load_corpus(folder, READERS, rng) for folder in data]
    drawn = draw_pairs(corpora, QUICK if quick else pairs, rng)
    encoder = fitted_encoder(corpora, rng)
    written = asyncio.run(write_all(model, drawn))
    report = {
        "machine": where,
        "seed": seed,
        "model": model,
        "data": [folder.name for folder in data],
        "pairs": len(drawn),
        "results": results(drawn, written, Probe(encoder, drawn), rng),
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    show(console, report)


def draw_pairs(corpora: Sequence[Corpus], count: int, rng: np.random.Generator) -> list[Pair]:
    """Catalogues, languages and content types take turns; the item fits the first reader as often as the second."""
    pairs: list[Pair] = []
    for number in range(count):
        corpus = corpora[number % len(corpora)]
        left, right = _unlike(corpus.readers, rng)
        item = corpus.item_for((left, right)[int(rng.integers(2))], rng)
        turn = number // len(corpora)
        kind, language = CONTENT_TYPES[turn % len(CONTENT_TYPES)], LANGUAGES[turn // len(CONTENT_TYPES) % 2]
        tasks = tuple(task_of(item, reader, kind, language) for reader in (left, right))
        pairs.append(Pair(corpus.name, (left, right), (tasks[0], tasks[1])))
    return pairs


def likeness(left: Reader, right: Reader) -> float:
    """Cosine of the two readers' weights of named interests."""
    weights = [dict(reader.interests) for reader in (left, right)]
    shared = sum(weight * weights[1].get(name, 0.0) for name, weight in weights[0].items())
    lengths = [np.sqrt(sum(weight * weight for weight in one.values())) for one in weights]
    return float(shared / max(lengths[0] * lengths[1], 1e-9))


def fitted_encoder(corpora: Sequence[Corpus], rng: np.random.Generator) -> CachedEncoder:
    """What a release over these catalogues would encode with."""
    texts = []
    for corpus in corpora:
        some = rng.permutation(len(corpus.items))[:FITTED_ITEMS]
        texts += [corpus.items[place].content() for place in some]
    return CachedEncoder(CombinedEncoder(NgramEncoder.fit(texts, NGRAM_DIMS, rng), MiniLMEncoder()))


async def write_all(model: str, pairs: Sequence[Pair]) -> dict[int, Run]:
    """The texts of every task in `n` variants, by `n`; tasks are those of the pairs, in order."""
    engine = GenerationEngine(EngineConfig(model=model))
    await engine.start()
    try:
        tasks = [task for pair in pairs for task in pair.tasks]
        return {each: await run(engine, variants(tasks, each)) for each in CANDIDATES}
    finally:
        engine.shutdown()


class Probe:
    """Guesses whose text it is from named interests and from embeddings."""

    def __init__(self, encoder: CachedEncoder, pairs: Sequence[Pair]) -> None:
        self._encoder = encoder
        self.profiles = [[self.profile(reader.interests) for reader in pair.readers] for pair in pairs]

    def vectors(self, texts: Sequence[str]) -> Floats:
        """Unit rows [n, E]."""
        return self._encoder.encode(texts)

    def profile(self, interests: Sequence[tuple[str, float]]) -> Floats:
        """Unit vector [E]."""
        return profile_vector([weight for _, weight in interests], self.vectors([name for name, _ in interests]))

    def guessed(self, pairs: Sequence[Pair], said: Sequence[str]) -> tuple[Doubles, Doubles]:
        """Share guessed right of the two texts of each pair, by named interests and by embedding alone; [pairs] each.

        `said`: the spoken texts, those for the first and for the second reader of each pair in turn.
        """
        vectors = self.vectors(said)
        named, near = np.zeros(len(pairs)), np.zeros(len(pairs))
        for place, pair in enumerate(pairs):
            for owner in (0, 1):
                text, vector = said[2 * place + owner], vectors[2 * place + owner]
                weights = [named_weight(text, reader) for reader in pair.readers]
                cosines = [float(vector @ profile) for profile in self.profiles[place]]
                by_cosine = _right(cosines, owner)
                near[place] += by_cosine / 2
                named[place] += (_right(weights, owner) if weights[0] != weights[1] else by_cosine) / 2
        return named, near


def named_weight(text: str, reader: Reader) -> float:
    """The sum of the weights of the reader's interests that the text names."""
    names = ((clean_name(name).casefold(), weight) for name, weight in reader.interests)
    return sum(weight for name, weight in names if name and mentions(text, name))


def results(
    pairs: Sequence[Pair], written: dict[int, Run], probe: Probe, rng: np.random.Generator
) -> dict[str, dict[str, Any]]:
    """By what was shown: templates, the model with n candidates, and the control."""
    tasks = [task for pair in pairs for task in pair.tasks]
    profiles = [probe.profile(reader.told) for pair in pairs for reader in pair.readers]
    templates = [GeneratedText(template_text(task), "template", None, 0, 0) for task in tasks]
    found = {"templates": judged(pairs, tasks, templates, probe, rng)}
    shown: Sequence[GeneratedText] = templates
    for each, one in written.items():
        shown = chosen(variants(tasks, each), one.texts, each, profiles, probe)
        found[f"model, n = {each}"] = {**judged(pairs, tasks, shown, probe, rng), "cost": one.cost()}
    moved = 2 * (1 + int(rng.integers(len(pairs) - 1)))
    others = [*shown[moved:], *shown[:moved]]
    other_tasks = [*tasks[moved:], *tasks[:moved]]
    found["control: texts of another pair"] = judged(pairs, other_tasks, others, probe, rng)
    return found


def chosen(
    tasks: Sequence[GenerationTask],
    texts: Sequence[GeneratedText],
    each: int,
    profiles: Sequence[Floats],
    probe: Probe,
) -> list[GeneratedText]:
    """The best of each `each` in a row, as a server chooses; a profile for each row."""
    vectors = probe.vectors([spoken(text.text, task) for text, task in zip(texts, tasks, strict=True)])
    best = []
    for start in range(0, len(texts), each):
        places = range(start, start + each)
        scores = [scored(texts[place], tasks[place], vectors[place], profiles[start // each]) for place in places]
        best.append(texts[start + best_of(scores)])
    return best


def judged(
    pairs: Sequence[Pair],
    tasks: Sequence[GenerationTask],
    shown: Sequence[GeneratedText],
    probe: Probe,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Accuracies (mean, low, high), mean facet coverage and the share of the model's own texts."""
    said = [spoken(text.text, task) for text, task in zip(shown, tasks, strict=True)]
    named, near = probe.guessed(pairs, said)
    by_data = {name: float(named[[pair.data == name for pair in pairs]].mean()) for name in {p.data: 0 for p in pairs}}
    intervals = mean_intervals(np.stack([named, near], axis=1), rng)
    accuracy = np.stack([intervals.mean, intervals.low, intervals.high], axis=1).round(4).tolist()
    return {
        "accuracy": accuracy[0],
        "accuracy_by_embedding": accuracy[1],
        "accuracy_by_data": by_data,
        "coverage": float(np.mean([coverage(text.text, task) for text, task in zip(shown, tasks, strict=True)])),
        "grounded": float(np.mean([text.source == "model" for text in shown])),
    }


def _unlike(readers: Sequence[Reader], rng: np.random.Generator) -> tuple[Reader, Reader]:
    """Two readers at random, drawn again while they are alike. Raises `ValueError` where all of them are."""
    for _ in range(1000):
        left, right = (readers[int(place)] for place in rng.choice(len(readers), size=2, replace=False))
        if likeness(left, right) < UNLIKE:
            return left, right
    raise ValueError(f"no two readers with a likeness below {UNLIKE}")


def _right(evidence: Sequence[float], owner: int) -> float:
    """1 when the evidence speaks for the owner, 0 when for the other, half when for neither."""
    return float(np.sign(evidence[owner] - evidence[1 - owner]) + 1) / 2


def show(console: Console, report: dict[str, Any]) -> None:
    """A row a kind of text."""
    table = Table("texts", "accuracy (95 %)", "by embedding alone", "coverage", "grounded", "tokens", "prefix hits")
    for name, one in report["results"].items():
        cells = ("{:.1%} ({:.1%}-{:.1%})".format(*one[key]) for key in ("accuracy", "accuracy_by_embedding"))
        cost = one.get("cost", {})
        spent = f"{cost['completion_tokens']:,}" if cost else "-"
        hits = f"{cost['prefix_cache_hit_rate']:.1%}" if cost else "-"
        table.add_row(name, *cells, f"{one['coverage']:.3f}", f"{one['grounded']:.1%}", spent, hits)
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
