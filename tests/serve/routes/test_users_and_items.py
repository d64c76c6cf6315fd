"""What is written about users and items over the native API, and what the next reply makes of it."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from interest.items import Item
from serve.schema import InterestBody
from tests.serve.routes.calls import RECOMMEND, error_of, ids, post, post_event

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_declared_interests_alone_drive_recommendations(server: Any, home: Any) -> None:
    category = home.world.items[0].categories[0]
    body = {"interests": [{"kind": "category", "name": category, "weight": 1.0}]}
    answer = await server.client.put("/v1/users/newcomer/interests", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["interests"][0] == {"kind": "category", "name": category, "weight": 1.0, "declared": True}
    reply = await post(server, RECOMMEND, user_id="newcomer", count=10, include=["values"])
    assert reply["tier"] == "full"
    hits = sum(category in item["values"]["categories"] for item in reply["data"])
    share = sum(category in item.categories for item in home.world.items) / len(home.world.items)
    assert hits / 10 > 3 * share


async def test_patch_adds_and_takes_back_while_put_replaces(server: Any) -> None:
    writes = server.ingress._api.writes
    before_restart = replace(writes, clock=replace(writes.clock, base=writes.clock.base + 7_200))
    await before_restart.interests("editor", [InterestBody(kind="tag", name="tea")], True, None)
    jazz = {"interests": [{"kind": "tag", "name": "jazz"}]}
    answer = await server.client.put("/v1/users/editor/interests", json=jazz)
    assert [interest["name"] for interest in answer.json()["interests"] if interest["declared"]] == ["jazz"]


async def test_user_ids_may_hold_slashes(server: Any, some_item: Any) -> None:
    event = {"id": "slash-1", "type": "like", "user_id": "a/b", "item_id": some_item.item_id}
    assert (await post_event(server, **event)).status_code == 202
    for path in ("/v1/users/a/b", "/v1/users/a%2Fb"):
        assert (await server.client.get(path)).json()["user_id"] == "a/b"
        assert (await server.client.get(f"{path}/interests")).json()["events"] == 1
    assert (await server.client.delete("/v1/users/a/b")).json()["events"] == 1


async def test_an_idempotency_key_stands_in_for_event_ids_and_one_of_both_is_needed(
    server: Any, some_item: Any
) -> None:
    event = {"type": "view", "user_id": "keyed", "item_id": some_item.item_id}
    answer = await server.client.post("/v1/events", json={"events": [event, event]}, headers={"Idempotency-Key": "k"})
    assert answer.json()["ids"] == ["k:0", "k:1"]
    refused = await post_event(server, **event)
    assert refused.status_code == 422
    assert error_of(refused)["param"] == "events.0.id"


async def test_an_erased_user_is_gone_and_a_retried_event_cannot_bring_them_back(server: Any, some_item: Any) -> None:
    event = {"id": "last-trace", "type": "like", "user_id": "leaver", "item_id": some_item.item_id}
    await post_event(server, **event)
    receipt = (await server.client.delete("/v1/users/leaver")).json()
    assert (receipt["events"], receipt["user_id"]) == (1, "leaver")
    assert (await server.client.get("/v1/users/leaver")).status_code == 404
    assert (await post_event(server, **event)).json()["duplicates"] == 1
    assert (await server.client.get("/v1/users/leaver")).status_code == 404


async def test_a_new_item_is_recommended_within_two_seconds_and_a_deleted_one_no_more(server: Any) -> None:
    item = {"title": "Brass telescope for stargazers", "domain": "e-commerce", "tags": ["stargazing-xyz"], "price": 10}
    assert (await server.client.put("/v1/items/new-1", json=item)).status_code == 200
    assert (await server.client.get("/v1/items/new-1")).json()["title"] == item["title"]
    await server.client.put("/v1/users/fan/interests", json={"interests": [{"kind": "tag", "name": "stargazing-xyz"}]})

    async def shown() -> bool:
        return "new-1" in ids(await post(server, RECOMMEND, user_id="fan", count=10))

    async with asyncio.timeout(2):
        while not await shown():
            await asyncio.sleep(0.05)
    assert (await server.client.delete("/v1/items/new-1")).status_code == 204
    assert (await server.client.get("/v1/items/new-1")).status_code == 404
    async with asyncio.timeout(2):
        while await shown():
            await asyncio.sleep(0.05)
    assert (await server.client.delete("/v1/items/new-1")).status_code == 404


async def test_an_item_larger_than_the_api_takes_can_be_read(server: Any) -> None:
    item = Item(
        item_id="imported",
        title="t" * 1001,
        language="",
        categories=tuple(f"category {number}" for number in range(70)),
        tags=("t" * 150,),
        price=-1.0,
        available=False,
        attributes={"k" * 200: "v"},
    )
    await server.ingress._api.writes.store.put_items([item], None, "")
    answer = await server.client.get("/v1/items/imported")
    assert answer.status_code == 200, answer.text
    view = answer.json()
    assert (view["categories"], view["tags"], view["title"]) == (list(item.categories), list(item.tags), item.title)
    assert (view["price"], view["attributes"]) == (-1.0, {"k" * 200: "v"})
