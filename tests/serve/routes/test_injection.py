"""Injections through the real pipeline: they change no ids and no order, and what is shown is true and nobody else's.

What honestly must not change, and against what it is compared:

- a title, category or tag legitimately moves its own item, and through it whatever it competes with (some features of
  the reranker are places among the candidates), but nothing of another domain, which is compared with the reply before;
- a comment counts as an act on its item, and a word of it that some item bears is an interest: it is compared with a
  comment of as many words that no item bears;
- a declared interest that no item bears changes nothing at all.
"""

import re
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
import pytest_asyncio

from interest.features import detect_language, item_facets, keywords, normalised
from interest.items import Item
from serve.generation.grounding import check
from serve.generation.prompt import QUOTES, GenerationTask, build_prompt, facts_of
from serve.generation.untrusted import has_label
from tests.serve.generation.injections import ATTACKS, SECRET, VICTIM, pieces
from tests.serve.routes.calls import ids, post, until_ready

pytestmark = pytest.mark.asyncio(loop_scope="module")

COUNT = 10
NAME_CHARS, TITLE_CHARS = 128, 1000  # of the API
PLANTED = "social"  # the domain of the items with an attack
ELSEWHERE = ("e-commerce", "news", "entertainment", "education")
USERS_AT_ONCE, TEXTS_AT_ONCE = 256, 100
PATIENCE_MS = 60_000  # a busy machine must not change what is compared


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def still(home: Any, module_server: Any) -> AsyncIterator[Any]:
    """A server whose clock stands still, so that two replies differ by what was planted between them alone."""
    async with type(module_server)(home.config(clock={"quantum_s": 1e9})) as running:
        await until_ready(running)
        told = {"interests": [{"kind": "keyword", "name": SECRET}]}
        assert (await running.client.put(f"/v1/users/{VICTIM}/interests", json=told)).status_code == 200
        yield running


async def recommended(server: Any, users: Sequence[str], **asked: Any) -> list[dict[str, Any]]:
    """One reply a user."""
    replies: list[dict[str, Any]] = []
    for start in range(0, len(users), USERS_AT_ONCE):
        some = users[start : start + USERS_AT_ONCE]
        requests = [{"user_id": user, "count": COUNT, "timeout_ms": PATIENCE_MS, **asked} for user in some]
        replies += (await post(server, "/v1/recommendations:batch", requests=requests))["data"]
    assert all(reply["degraded"] == [] and len(reply["data"]) == COUNT for reply in replies)
    return replies


def assert_shown_texts_are_clean(server: Any, replies: Sequence[dict[str, Any]]) -> None:
    """`server.engine.asked` holds the tasks of these replies and no others, in any order."""
    texts = [one.get("generated", one)["text"] for reply in replies for one in reply["data"]]
    by_text: dict[str, GenerationTask] = {}
    for number, task in enumerate(server.engine.asked, start=len(server.engine._texts) - len(server.engine.asked) + 1):
        by_text[server.engine._texts[f"{number}"]] = task
    assert len(server.engine.asked) == len(texts) > 0
    for text in texts:
        task = by_text[text]
        assert check(text, task).ok, text
        opening, closing = QUOTES[task.language]
        rest = text.replace(f"{opening}{facts_of(task).title}{closing}", "")
        assert not has_label(rest), text
        assert not any(line in rest for line in build_prompt(task).splitlines()), text
        assert not re.search(r"[<>{}\[\]|`]|https?:|www\.", rest), text
        assert SECRET not in text
        assert SECRET not in build_prompt(task)


@pytest.fixture
def asked(still: Any) -> list[GenerationTask]:
    """The tasks that the language model is given in this test."""
    still.engine.asked.clear()
    still.engine._texts.clear()
    tasks: list[GenerationTask] = still.engine.asked
    return tasks


def names_of(items: Sequence[Item]) -> set[str]:
    """Every category, tag and keyword that some item bears."""
    return {normalised(facet.name) for item in items for facet, _ in item_facets(item)}


def planted(number: int, attack: str, field: str) -> dict[str, Any]:
    item: dict[str, Any] = {"item_id": f"planted-{field}-{number}", "title": f"Lamp {number}", "domain": PLANTED}
    if field == "title":
        return {**item, "title": attack[:TITLE_CHARS]}
    return {**item, field: [*pieces(attack), attack[:NAME_CHARS]]}


@pytest.mark.parametrize("field", ["title", "categories", "tags"])
async def test_an_item_with_an_attack_moves_nobody_else_s_items_and_its_text_is_true(
    still: Any, home: Any, asked: list[GenerationTask], field: str
) -> None:
    user = home.world.events[-1].user_id

    async def lists() -> list[list[str]]:
        elsewhere = [
            await post(still, "/v1/recommendations", user_id=user, count=30, domain=domain) for domain in ELSEWHERE
        ]
        return [ids(reply) for reply in elsewhere]

    await still.caught_up()
    before = await lists()
    items = [planted(number, attack, field) for number, attack in enumerate(ATTACKS)]
    await post(still, "/v1/items:batch", items=items)
    await still.caught_up()
    assert await lists() == before
    wanted = [item["item_id"] for item in items]
    replies = []
    for start in range(0, len(wanted), TEXTS_AT_ONCE):
        part = wanted[start : start + TEXTS_AT_ONCE]
        replies.append(await post(still, "/v1/generations", user_id=user, item_ids=part))
        assert (ids(replies[-1]), replies[-1]["missing"]) == (part, [])
    assert_shown_texts_are_clean(still, replies)
    for item_id in wanted:
        assert (await still.client.delete(f"/v1/items/{item_id}")).status_code == 204


async def test_a_comment_with_an_attack_is_a_comment_like_any_other(
    still: Any, home: Any, asked: list[GenerationTask]
) -> None:
    borne = names_of(home.world.items)
    liked, said_of, at = home.world.items[:3], home.world.items[5], home.world.end - 60
    events: list[dict[str, Any]] = []

    def comments(user: str, text: str) -> str:
        acts = [("like", item.item_id, "") for item in liked] + [("comment", said_of.item_id, text)]
        for number, (kind, item_id, words) in enumerate(acts):
            act = {"type": kind, "user_id": user, "item_id": item_id, "timestamp": at, "text": words}
            events.append({"id": f"{user}-{number}", **act})
        return user

    pairs = []
    for number, attack in enumerate(ATTACKS):
        words = keywords(attack, detect_language(attack))
        plain = " ".join(
            word if word in borne else f"zq{'abcdefghij'[place % 10] * (1 + place // 10)}x"
            for place, word in enumerate(words)
        )
        pairs.append((comments(f"says-{number}", attack), comments(f"calm-{number}", plain)))
    for start in range(0, len(events), 1000):
        await post(still, "/v1/events", events=events[start : start + 1000])
    await still.caught_up()
    attacking = await recommended(still, [attacker for attacker, _ in pairs], generate={})
    assert_shown_texts_are_clean(still, attacking)
    calm = await recommended(still, [other for _, other in pairs])
    assert [ids(reply) for reply in attacking] == [ids(reply) for reply in calm]


async def test_a_declared_interest_with_an_attack_changes_no_id_and_no_order(
    still: Any, home: Any, asked: list[GenerationTask]
) -> None:
    borne, liked, at = names_of(home.world.items), home.world.items[10:13], home.world.end - 60
    users = [f"declares-{number}" for number in range(len(ATTACKS))]
    likes = [
        {"id": f"{user}-{item.item_id}", "type": "like", "user_id": user, "item_id": item.item_id, "timestamp": at}
        for user in (*users, "declares-nothing")
        for item in liked
    ]
    for start in range(0, len(likes), 1000):
        await post(still, "/v1/events", events=likes[start : start + 1000])
    for user, attack in zip(users, ATTACKS, strict=True):
        names = [name[:NAME_CHARS] for name in (attack, *pieces(attack)) if normalised(name) not in borne]
        told = {"interests": [{"kind": "tag", "name": name} for name in names]}
        answer = await still.client.put(f"/v1/users/{user}/interests", json=told)
        assert answer.status_code == 200, answer.text
    await still.caught_up()
    [undisturbed] = await recommended(still, ["declares-nothing"])
    replies = await recommended(still, users, generate={"content_type": "summary"})
    assert {tuple(ids(reply)) for reply in replies} == {tuple(ids(undisturbed))}
    assert_shown_texts_are_clean(still, replies)
