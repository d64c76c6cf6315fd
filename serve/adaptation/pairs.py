"""Preference pairs: two texts about the same item under one prompt, of which one was liked and the other refused.

What a reader does with an item depends above all on the item, on its place, and on what it has to do with them: a pair
of texts about two items would teach which item is liked, and one in which a text names an interest that the other does
not would teach who likes it. So both texts of a pair are

- about the same item, of the same content type and language,
- written by the model and true to the facts of both prompts,
- alike in the interests of their reader that they name, which leaves the wording to differ.

They may come from two users, who are taken to agree about wording. Each match makes two pairs, one for the prompt of
either text. With the prompt of the refused one alone, what the model itself had said there would always be the wrong
answer, and an adapter would learn to say anything else; with both, that tells nothing, and the wording alone is left.
Each impression is matched once at most, by time and not by what it says: a search among the liked texts for another
wording than the refused one's would choose rare wordings, whoever liked them. What remains of who the users are falls
on both sides alike, because the sentence plan of a text does not depend on who will like it: it makes pairs noisy, not
wrong. Candidates of one request (`generate.candidates`) are no pair: nobody saw the losers.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from interest.errors import InvalidRequest
from interest.items import Item
from interest.store.protocol import Impression, StoreReader
from serve.adaptation.feedback import NEGATIVE, POSITIVE, Verdict, verdicts
from serve.generation.choosing import spoken
from serve.generation.grounding import check, mentions
from serve.generation.prompt import GenerationTask, facts_of
from serve.text_origin import task_of


class Pair(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of the file. `user` stands for the reader that the task is about, and tells nobody who that is."""

    item_id: str
    user: str
    task: GenerationTask  # of one of the two texts: the prompt is made of it
    chosen: str
    rejected: str


@dataclass(slots=True)
class Export:
    """The pairs by item, and what became of every text."""

    pairs: list[Pair]
    counts: Counter[str] = field(default_factory=Counter)  # texts by verdict; "changed": no longer true to their item


@dataclass(frozen=True, slots=True)
class _Said:
    """A text, with the task it was written for."""

    shown: Impression
    task: GenerationTask
    own_grammar: bool


def export_pairs(reader: StoreReader, since: float, domain: str = "") -> Export:
    """All pairs of what was shown from `since` (unix seconds) on; of one domain, or of all."""
    everything = reader.impressions_since(since)
    found = verdicts(everything, reader.events_since(since, (*POSITIVE, *NEGATIVE)))
    verdict = {(one.recommendation_id, one.position): said for one, said in zip(everything, found, strict=True)}
    texts = reader.texts_since(since)
    items = {item_id: reader.item(item_id) for item_id in {one.item_id for one in texts}}
    texts = [one for one in texts if not domain or _domain(items[one.item_id]) == domain]
    judged = [(one, verdict[(one.recommendation_id, one.position)]) for one in texts]
    export = Export([], Counter(said.value for _, said in judged))
    liked = _grouped([one for one, said in judged if said is Verdict.LIKED], items, export.counts)
    refused = _grouped([one for one, said in judged if said is Verdict.REFUSED], items, export.counts)
    for group, texts_refused in refused.items():
        export.pairs += _matched(liked.get(group, []), texts_refused, reader)
    export.pairs.sort(key=lambda pair: (pair.item_id, pair.user, pair.rejected, pair.chosen))
    return export


def write_pairs(path: Path, pairs: Sequence[Pair]) -> None:
    """JSON lines."""
    path.write_bytes(b"".join(msgspec.json.encode(pair) + b"\n" for pair in pairs))


def read_pairs(path: Path) -> list[Pair]:
    """Raises `InvalidRequest` with the number of the first line that is no pair."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise InvalidRequest(f"{path}: {error.strerror}") from error
    pairs = []
    for number, line in enumerate(lines, start=1):
        try:
            pairs.append(msgspec.json.decode(line, type=Pair))
        except msgspec.DecodeError as error:
            raise InvalidRequest(f"{path}: line {number}: {error}") from error
    return pairs


def named_interests(text: str, task: GenerationTask) -> frozenset[str]:
    """The reader's interests that the text names beside the title, case-folded."""
    facts, words = facts_of(task), spoken(text, task)
    return frozenset(name.casefold() for name in (*facts.matches, *facts.likes) if mentions(words, name.casefold()))


_Groups = Mapping[tuple[str, str, str, frozenset[str]], list[_Said]]


def _grouped(texts: Sequence[Impression], items: Mapping[str, Item | None], counts: Counter[str]) -> _Groups:
    """By item, content type, language and the interests named; without texts that are not true to their item today."""
    groups: dict[tuple[str, str, str, frozenset[str]], list[_Said]] = defaultdict(list)
    for shown in texts:
        item = items[shown.item_id]
        said = None if item is None else _said(shown, task_of(shown.origin, item))
        if said is None:
            counts["changed"] += 1
            continue
        group = (shown.item_id, said.task.content_type, said.task.language, named_interests(said.shown.text, said.task))
        groups[group].append(said)
    return groups


def _said(shown: Impression, task: GenerationTask) -> _Said | None:
    own_grammar = check(shown.text, task, closed=True).ok
    return _Said(shown, task, own_grammar) if own_grammar or check(shown.text, task, closed=False).ok else None


def _matched(liked: Sequence[_Said], refused: Sequence[_Said], reader: StoreReader) -> list[Pair]:
    """The texts of both in turn, as they were shown, where they fit, under the prompts of both.

    Who meets whom does not depend on the words: a search for a liked text that differs would find rare ones too often.
    """
    return [
        Pair(
            item_id=asked.shown.item_id,
            user=reader.pseudonym(asked.shown.user_id),
            task=asked.task,
            chosen=good.shown.text,
            rejected=bad.shown.text,
        )
        for good, bad in zip(liked, refused, strict=False)
        if _fits(good, bad)
        for asked in (bad, good)
    ]


def _fits(good: _Said, bad: _Said) -> bool:
    """Whether the two say different things, each of them true in the other's place."""
    return (
        good.shown.text != bad.shown.text
        and check(good.shown.text, bad.task, closed=good.own_grammar).ok
        and check(bad.shown.text, good.task, closed=bad.own_grammar).ok
    )


def _domain(item: Item | None) -> str:
    return "" if item is None else item.domain
