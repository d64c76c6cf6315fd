"""Are the texts about real items true, and what does structure cost? The model in vLLM over catalogues it never saw.

    python -m benchmarks.bench_grounding --data shared/data/online-retail --data shared/data/goodbooks-catalogue

Items are drawn evenly from the catalogues; each is told to one reader (benchmarks/readers.py) in English and in
Chinese, content types taking turns. Reported: the share of texts that are grounded (the model's own words, which the
check of serve/generation/grounding.py found true) and of those that a template replaced, by reason; distinct-1 and -2
(Li et al. 2016: different n-grams over all n-grams, titles left out; in Chinese n-grams of characters); the hit rate of
the prefix cache; and the cost of structured outputs against free ones on the same tasks.

Four error rates after RecLM-eval (microsoft/RecAI, RecLM-eval/evaluates/evaluate.py), there of lists of titles, here of
texts:

- history error: the text names an item that the reader knows already instead of, or beside, the one to be told;
- duplicate error: it names its item more than once;
- candidate error: it does not name the item that was given, or quotes another title;
- copy error: it copies its input, six words of the prompt in a row or the label of a line (there: the longest common
  subsequence of the answer with the titles of the prompt).

All are measured on what the model said ("answers") and on what a reader would be shown ("shown").
"""

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.bench_recommend import machine
from benchmarks.readers import Corpus, Reader, load_corpus, task_of
from benchmarks.recording import DEADLINE_S, Run, run
from serve.generation.choosing import spoken
from serve.generation.completion import Sampling
from serve.generation.constraint import title_pattern
from serve.generation.engine import GenerationEngine
from serve.generation.generator import DEFAULT_MAX_TOKENS
from serve.generation.grounding import check, mentions
from serve.generation.prompt import (
    CONTENT_TYPES,
    LANGUAGES,
    QUOTES,
    GenerationTask,
    build_prompt,
    clean_title,
    facts_of,
)
from serve.generation.settings import EngineConfig
from serve.generation.untrusted import has_label, repeats

RESULTS = Path("benchmarks/results/grounding.json")
READERS = 200  # a catalogue
STRUCTURED = 256  # tasks of each structured run
QUICK = 24
LEAST_TITLE = 8  # characters of a known title that counts as named: shorter ones are ordinary words
_SYMBOL = re.compile(r"[\u3400-\u9fff]|[^\W\d_]+(?:['’-][^\W\d_]+)*|\d+")


def main(
    data: Annotated[list[Path], typer.Option(help="A folder with a catalogue; several times for several.")],
    items: int = 1000,
    model: Annotated[str, typer.Option(help="demo, a folder or a hub id.")] = "demo",
    seed: int = 0,
    quick: Annotated[bool, typer.Option(help=f"{QUICK} items: whether it runs, not a measurement.")] = False,
    output: Path = RESULTS,
) -> None:
    """Measure, print a table, write raw JSON."""
    console, where, rng = Console(), machine(), np.random.default_rng(seed)
    corpora = [load_corpus(folder, READERS, rng) for folder in data]
    told = tellings(corpora, QUICK if quick else items, rng)
    report = asyncio.run(measured(model, told, QUICK if quick else STRUCTURED))
    report = {"machine": where, "seed": seed, "model": model, "data": [folder.name for folder in data], **report}
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    show(console, report)


Telling = tuple[str, Reader, GenerationTask]  # of which catalogue, to whom, what


def tellings(corpora: Sequence[Corpus], items: int, rng: np.random.Generator) -> list[Telling]:
    """`items` items in every language: the catalogues and content types take turns."""
    told: list[Telling] = []
    for number in range(items):
        corpus = corpora[number % len(corpora)]
        reader = corpus.readers[int(rng.integers(len(corpus.readers)))]
        item, kind = corpus.item_for(reader, rng), CONTENT_TYPES[number // len(corpora) % len(CONTENT_TYPES)]
        told += [(corpus.name, reader, task_of(item, reader, kind, language)) for language in LANGUAGES]
    return told


async def measured(model: str, told: Sequence[Telling], structured: int) -> dict[str, Any]:
    """Everything that needs the engine."""
    engine = GenerationEngine(EngineConfig(model=model))
    await engine.start()
    try:
        tasks = [task for _, _, task in told]
        written = await run(engine, tasks)
        groups = {name: [n for n, (of, _, _) in enumerate(told) if of == name] for name, _, _ in told}
        groups |= {language: [n for n, task in enumerate(tasks) if task.language == language] for language in LANGUAGES}
        return {
            "cost": written.cost(),
            "all": quality(told, written, range(len(told))),
            "by": {name: quality(told, written, places) for name, places in groups.items()},
            "structured": await structures(engine, tasks[:structured]),
            "examples": [text.text for text in written.texts[:12]],
        }
    finally:
        engine.shutdown()


def quality(told: Sequence[Telling], written: Run, places: Sequence[int]) -> dict[str, Any]:
    """Shares of the texts at these places."""
    texts = [written.texts[place] for place in places]
    reasons = Counter(str(text.reason) for text in texts if text.reason is not None)
    return {
        "texts": len(texts),
        "grounded": _share([text.source == "model" for text in texts]),
        "template": {reason: count / len(texts) for reason, count in reasons.most_common()},
        "errors_of_answers": errors(told, written.answers, places),
        "errors_shown": errors(told, [text.text for text in written.texts], places),
        "distinct": distinct([spoken(written.texts[place].text, told[place][2]) for place in places]),
    }


def errors(told: Sequence[Telling], texts: Sequence[str], places: Sequence[int]) -> dict[str, float]:
    """The four error rates; a task that the model was not asked about has no answer and counts as no error."""
    said = [(told[place][1], told[place][2], texts[place]) for place in places if texts[place]]
    return {name: _share([wrong(*one) for one in said]) for name, wrong in ERRORS.items()}


def names_history(reader: Reader, task: GenerationTask, text: str) -> bool:
    """Whether a title that the reader knows is named; what the facts of the item say is none."""
    facts, rest = facts_of(task), spoken(text, task)
    own = " ".join((facts.title, *facts.categories, *facts.tags, *facts.matches, *facts.likes)).casefold()
    known = {clean_title(item.title).casefold() for item in reader.history}
    return any(len(title) >= LEAST_TITLE and title not in own and mentions(rest, title) for title in known)


def names_twice(reader: Reader, task: GenerationTask, text: str) -> bool:
    title = facts_of(task).title
    return len(title) >= LEAST_TITLE and text.count(title) > 1


def names_another(reader: Reader, task: GenerationTask, text: str) -> bool:
    opening, closing = QUOTES[task.language]
    quoted = f"{opening}{facts_of(task).title}{closing}"
    return quoted not in text or any(mark in text.replace(quoted, "") for mark in '"“”')


def copies(reader: Reader, task: GenerationTask, text: str) -> bool:
    rest = spoken(text, task)
    return has_label(rest) or repeats(rest, build_prompt(task).replace(facts_of(task).title, ""))


ERRORS: dict[str, Callable[[Reader, GenerationTask, str], bool]] = {
    "history": names_history,
    "duplicate": names_twice,
    "candidate": names_another,
    "copy": copies,
}


def distinct(texts: Sequence[str]) -> dict[str, float]:
    """Different n-grams over all n-grams, n = 1 and 2."""
    rows = [[symbol.casefold() for symbol in _SYMBOL.findall(text)] for text in texts]
    single = [symbol for row in rows for symbol in row]
    double = [pair for row in rows for pair in pairwise(row)]
    return {str(n): len(set(found)) / max(1, len(found)) for n, found in ((1, single), (2, double))}


async def structures(engine: GenerationEngine, tasks: Sequence[GenerationTask]) -> dict[str, Any]:
    """The same tasks free, with the title as a literal, and as JSON with the title as a constant.

    Each twice: the second time without compiling grammars. The free run before them has filled the prefix cache.
    """
    modes: dict[str, Callable[[GenerationTask], dict[str, str]]] = {
        "free": lambda task: {},
        "title as a literal": lambda task: {"regex": title_pattern(task)},
        "JSON schema": lambda task: {"json_schema": title_schema(task)},
    }
    await _answered(engine, tasks, modes["free"])
    report: dict[str, Any] = {}
    for name, structure in modes.items():
        rounds = [await _answered(engine, tasks, structure) for _ in range(2)]
        report[name] = {
            "tokens_per_s": [round(tokens / seconds, 1) for _, tokens, seconds in rounds],
            "texts_per_s": [round(len(tasks) / seconds, 2) for _, _, seconds in rounds],
            **_read(tasks, rounds[-1][0], name == "JSON schema"),
        }
    return report


async def _answered(
    engine: GenerationEngine, tasks: Sequence[GenerationTask], structure: Callable[[GenerationTask], dict[str, str]]
) -> tuple[list[str], int, float]:
    """(answers, tokens written, seconds)."""
    start = time.perf_counter()
    calls = [
        engine.complete(
            engine.prompt(task),
            f"structured-{start}-{number}",
            Sampling(max_tokens=DEFAULT_MAX_TOKENS, temperature=0.0, **structure(task)),  # type: ignore[arg-type]
        )
        for number, task in enumerate(tasks)
    ]
    async with asyncio.timeout(DEADLINE_S):
        answers = await asyncio.gather(*calls)
    seconds = time.perf_counter() - start
    return [one.text for one in answers], sum(one.completion_tokens for one in answers), seconds


def _read(tasks: Sequence[GenerationTask], answers: Sequence[str], as_json: bool) -> dict[str, float]:
    """How many answers are complete, and true by the same check as ever."""
    texts, valid = [], []
    for answer in answers:
        try:
            texts.append(str(json.loads(answer)["text"]) if as_json else answer.strip())
            valid.append(True)
        except (ValueError, KeyError, TypeError):
            texts.append("")
            valid.append(not as_json)
    pairs = list(zip(tasks, texts, strict=True))
    named = [facts_of(task).title in text for task, text in pairs]
    grounded = [check(text, task).ok for task, text in pairs]
    return {"complete": _share(valid), "title": _share(named), "grounded": _share(grounded)}


def title_schema(task: GenerationTask) -> str:
    """An object with the title as it is given and a text."""
    properties = {"title": {"const": facts_of(task).title}, "text": {"type": "string", "maxLength": 280}}
    schema = {"type": "object", "properties": properties, "required": ["title", "text"], "additionalProperties": False}
    return json.dumps(schema, ensure_ascii=False)


def _share(values: Sequence[bool]) -> float:
    return round(sum(values) / len(values), 4) if values else 0.0


def show(console: Console, report: dict[str, Any]) -> None:
    """A row a group, and a row a structure."""
    table = Table("", "texts", "grounded", "errors of answers", "errors shown", "distinct-1, -2", "templates")
    for name, one in {"all": report["all"], **report["by"]}.items():
        wrong = (_listed(one[errors]) for errors in ("errors_of_answers", "errors_shown"))
        kinds = ", ".join(f"{one['distinct'][n]:.3f}" for n in ("1", "2"))
        table.add_row(name, str(one["texts"]), f"{one['grounded']:.1%}", *wrong, kinds, _listed(one["template"]))
    console.print(table)
    console.print_json(data={"cost": report["cost"], "structured": report["structured"]})


def _listed(shares: dict[str, float]) -> str:
    return ", ".join(f"{name} {share:.1%}" for name, share in shares.items() if share) or "none"


if __name__ == "__main__":
    typer.run(main)
