"""The pages after the first: stable, without repeats, from the store alone, logged under the same recommendation."""

import asyncio
import time
from typing import Any

import pytest

from interest.errors import AttuneError
from serve.ingress import Ingress
from serve.paging import SETTLED_S
from serve.replies import new_id
from tests.serve.routes.calls import RECOMMEND, error_of, get, ids, post

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def user(home: Any) -> str:
    return str(home.world.events[-1].user_id)


async def pages_of(server: Any, first: dict[str, Any]) -> list[dict[str, Any]]:
    """The first page and all that follow it."""
    pages = [first]
    while "next" in pages[-1]:
        pages.append(await get(server, pages[-1]["next"]))
    return pages


async def test_following_next_shows_the_whole_ranking_once_with_the_right_ranks(server: Any, user: str) -> None:
    whole = await post(server, RECOMMEND, user_id=user, count=100)
    pages = await pages_of(server, await post(server, RECOMMEND, user_id=user, count=30, include=["values", "scores"]))
    shown = [item for page in pages for item in page["data"]]
    assert [item["item_id"] for item in shown][:100] == ids(whole)
    assert len({item["item_id"] for item in shown}) == len(shown) == server.config.paging.depth
    assert [item["rank"] for item in shown] == list(range(1, len(shown) + 1))
    scores = [item["score"] for item in shown]
    assert scores == sorted(scores, reverse=True)
    assert len({page["id"] for page in pages}) == 1
    assert {page["user_id"] for page in pages} == {user}
    assert {page["tier"] for page in pages} == {"full"}
    assert all(item["values"]["title"] and "popular" in item["score_parts"] for item in shown)
    assert all(page["model_versions"] == pages[0]["model_versions"] for page in pages)


async def test_every_page_is_logged_with_its_positions_however_often_it_is_fetched(server: Any, user: str) -> None:
    first = await post(server, RECOMMEND, user_id=user, count=3)
    second = await get(server, first["next"])
    assert await get(server, first["next"]) == second
    third = await get(server, second["next"])
    shown = [*ids(first), *ids(second), *ids(third)]
    async with asyncio.timeout(5):
        while len(logged := server.ingress._reader.impressions_of(first["id"])) < len(shown):
            await asyncio.sleep(0.05)
    assert [(one.position, one.item_id, one.user_id) for one in logged] == [
        (place + 1, item_id, user) for place, item_id in enumerate(shown)
    ]


async def test_new_behaviour_and_a_count_of_its_own_do_not_shift_the_pages(server: Any, home: Any) -> None:
    user = home.world.events[-2].user_id
    first = await post(server, RECOMMEND, user_id=user, count=5)
    expected = [item for page in await pages_of(server, first) for item in ids(page)]
    for place, item_id in enumerate(ids(first)):
        await post(server, "/v1/events", id=f"shift-{place}", type="purchase", user_id=user, item_id=item_id)
    path = f"{RECOMMEND}/{first['id']}/next"
    assert ids(await get(server, f"{path}?count=7")) == expected[5:12]
    assert ids(await get(server, f"{path}?count=4&after=50")) == expected[50:54]
    end = await get(server, f"{path}?count=100&after={len(expected) - 2}")
    assert (ids(end), "next" in end) == (expected[-2:], False)
    beyond = await get(server, f"{path}?after={len(expected)}")
    assert (beyond["data"], "next" in beyond) == ([], False)


async def test_items_that_have_disappeared_are_left_out_and_leave_a_gap_in_the_ranks(server: Any) -> None:
    tag, wares = "gap-xyz", [f"gap-{number}" for number in range(12)]
    items = [{"item_id": item_id, "title": f"Ware {item_id}", "tags": [tag]} for item_id in wares]
    await post(server, "/v1/items:batch", items=items)
    body = {"user_id": "gapper", "count": 4, "filter": f'"{tag}" in tags'}
    async with asyncio.timeout(5):
        while len(ids(await post(server, RECOMMEND, **{**body, "count": 12}))) < 12:
            await asyncio.sleep(0.05)
    first = await post(server, RECOMMEND, **body)
    second = await get(server, first["next"])
    for item_id in ids(second)[1:3]:
        assert (await server.client.delete(f"/v1/items/{item_id}")).status_code == 204
    left = [ids(second)[0], ids(second)[3]]
    async with asyncio.timeout(5):
        while ids(page := await get(server, first["next"]))[:2] != left:
            await asyncio.sleep(0.05)
    assert [item["rank"] for item in page["data"]] == [5, 8, 9, 10]
    last = await get(server, page["next"])
    assert ([item["rank"] for item in last["data"]], "next" in last) == ([11, 12], False)
    assert len({*ids(first), *ids(page), *ids(last)}) == 10


async def test_text_is_written_as_for_the_first_page(server: Any, user: str) -> None:
    generate = {"content_type": "headline", "language": "zh"}
    first = await post(server, RECOMMEND, user_id=user, count=2, generate=generate, include=["timings", "explanation"])
    asked = server.engine.asked[-1]
    second = await get(server, first["next"])
    assert server.engine.asked[-1].interests == asked.interests != ()
    for item in second["data"]:
        assert item["generated"]["text"]
        assert (item["generated"]["content_type"], item["generated"]["language"]) == ("headline", "zh")
        assert isinstance(item["explanation"], list)
    assert second["usage"]["completion_tokens"] > 0
    assert set(second["timings_ms"]) == {"generate"}
    server.broken["generator"] = AttuneError("engine dead")
    silent = await get(server, second["next"])
    assert (silent["tier"], silent["degraded"], len(silent["data"])) == ("no_generation", ["generation"], 2)


async def test_another_ingress_replica_answers_from_the_store(server: Any, user: str) -> None:
    other = Ingress(server.config, server.ingress._stages, server.ingress._streaming)
    await asyncio.to_thread(other._follower.catch_up)
    first = await post(server, RECOMMEND, user_id=user, count=4)
    theirs = await other._api.pages.page(first["id"], 4, None, 10.0)
    assert [item.item_id for item in theirs.data] == ids(await get(server, first["next"]))
    await other.close()


async def test_a_next_page_that_is_asked_for_before_the_ranking_is_written_waits_for_it(
    server: Any, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, kept = asyncio.Event(), server.models["store"].infer

    async def late(tensors: Any) -> Any:
        await held.wait()
        return await kept(tensors)

    monkeypatch.setattr(server.models["store"], "infer", late)
    first = await post(server, RECOMMEND, user_id=user, count=4)
    asking = asyncio.create_task(get(server, first["next"]))
    await asyncio.sleep(0.2)
    assert not asking.done()
    held.set()
    assert len(ids(await asyncio.wait_for(asking, 5))) == 4


async def test_popular_items_that_stood_in_have_next_pages_too(server: Any) -> None:
    server.broken["retriever"] = AttuneError("out of order")
    first = await post(server, RECOMMEND, user_id="u", count=5)
    second = await get(server, first["next"])
    assert (second["tier"], second["degraded"], len(second["data"])) == ("popular", ["retriever"], 5)
    assert not set(ids(first)) & set(ids(second))


async def test_replies_of_a_batch_have_their_own_next_pages(server: Any, home: Any) -> None:
    users = sorted({event.user_id for event in home.world.events})[:3]
    requests = [{"user_id": user, "count": 4} for user in users]
    for reply in (await post(server, "/v1/recommendations:batch", requests=requests))["data"]:
        assert not set(ids(reply)) & set(ids(await get(server, reply["next"])))


async def test_there_is_no_next_page_of_the_past_nor_of_a_ranking_that_was_shown_whole(server: Any, home: Any) -> None:
    event = home.world.events[-1]
    past = await post(server, RECOMMEND, user_id=event.user_id, count=3, as_of=event.timestamp)
    whole = await post(server, RECOMMEND, user_id=event.user_id, count=3, filter=f'item_id == "{event.item_id}"')
    assert "next" not in past
    assert "next" not in whole


async def test_an_unknown_recommendation_is_a_404_and_an_expired_one_a_410(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(recommendation_id: str) -> tuple[int, str]:
        answer = await server.client.get(f"{RECOMMEND}/{recommendation_id}/next")
        return answer.status_code, error_of(answer)["message"]

    now = time.time()
    assert await refused("rec_nonsense") == (404, "recommendation id: no such recommendation")
    with monkeypatch.context() as patched:
        patched.setattr("serve.replies.time.time", lambda: now - SETTLED_S)
        settled = new_id("rec")
        patched.setattr("serve.replies.time.time", lambda: now - server.config.paging.keep_s - 1)
        expired = new_id("rec")
    start = time.perf_counter()
    assert (await refused(settled))[0] == 404
    assert time.perf_counter() - start < SETTLED_S / 2  # too old to be still on its way
    status, message = await refused(expired)
    assert (status, "kept for 1800 s" in message) == (410, True)


async def test_a_kept_ranking_ends_when_its_time_is_up_and_when_its_user_is_erased(server: Any, home: Any) -> None:
    first = await post(server, RECOMMEND, user_id="short-lived", count=3)
    await get(server, first["next"])
    pages = server.ingress._api.pages
    snapshot = server.ingress._reader.ranking_snapshot(first["id"])
    assert snapshot.expires_at == pytest.approx(time.time() + 1800, abs=60)
    assert len(snapshot.body) < 2_500
    pages._keep_s, kept = 1e-3, pages._keep_s
    try:
        assert (await server.client.get(first["next"])).status_code == 410
    finally:
        pages._keep_s = kept
    assert (await server.client.delete("/v1/users/short-lived")).status_code == 200
    assert server.ingress._reader.ranking_snapshot(first["id"]) is None
    answer = await server.client.get(first["next"], headers={"X-Request-Timeout-Ms": "100"})
    assert answer.status_code == 404


@pytest.mark.parametrize(("query", "param"), [("count=0", "count"), ("count=101", "count"), ("after=-1", "after")])
async def test_a_bad_page_is_refused_by_name(server: Any, user: str, query: str, param: str) -> None:
    first = await post(server, RECOMMEND, user_id=user, count=3)
    answer = await server.client.get(f"{RECOMMEND}/{first['id']}/next?{query}")
    assert answer.status_code == 422
    assert param in error_of(answer)["param"]


async def test_a_page_takes_a_permit(server: Any) -> None:
    server.ingress._api.permits.limit = 0
    assert (await server.client.get(f"{RECOMMEND}/rec_1/next")).status_code == 429
