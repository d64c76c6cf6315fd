"""What a text was written from, kept beside its impression: enough to make the same prompt again later.

The facts of the item are not in it: the catalogue holds them. A user's own words are: the interests that the prompt
told or chose its sentences by, no others. So an origin is a few hundred bytes, and goes when its user is erased.
"""

import msgspec

from interest.items import Item
from serve.generation.prompt import MAX_INTERESTS, ContentType, GenerationTask, ItemFacts, Language, clean_name


class Origin(msgspec.Struct, frozen=True, array_like=True):
    """A task without its item."""

    content_type: ContentType
    language: Language
    variant: int
    interests: tuple[str, ...]  # heaviest first


def packed_origin(task: GenerationTask) -> str:
    """JSON; at most `MAX_INTERESTS` names of at most `MAX_FACET_CHARS` each."""
    names: dict[str, str] = {}
    for name, weight in task.interests:
        if weight > 0 and (told := clean_name(name)):
            names.setdefault(told.casefold(), told)
    told_names = tuple(names.values())[:MAX_INTERESTS]
    return msgspec.json.encode(Origin(task.content_type, task.language, task.variant, told_names)).decode()


def task_of(origin: str, item: Item) -> GenerationTask:
    """A task with the prompt of the one that was packed, as long as the item has not changed."""
    found = msgspec.json.decode(origin, type=Origin)
    return GenerationTask(
        item=facts_for(item),
        interests=tuple((name, 1.0) for name in found.interests),
        content_type=found.content_type,
        language=found.language,
        variant=found.variant,
    )


def facts_for(item: Item) -> ItemFacts:
    """What a text may say about this item."""
    return ItemFacts(
        title=item.title,
        domain=item.domain,
        language=item.language,
        categories=item.categories,
        tags=item.tags,
        price=item.price,
    )
