"""Items without content vectors get them, whoever stored them."""

import asyncio
from contextlib import closing
from typing import Any

import pytest

from interest.errors import NotReady
from interest.items import Item
from interest.store.open import open_writer

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def encoded(server: Any, item_id: str) -> None:
    """Returns once the retriever holds a content vector of the item."""
    catalogue = server.models["retriever"].catalogue
    async with asyncio.timeout(20):
        while (row := catalogue.view().row_of_id(item_id)) is None or not catalogue.view().content[row].any():
            await asyncio.sleep(0.05)


async def test_an_item_imported_beside_the_server_gets_its_vector_and_is_found_by_content(server: Any) -> None:
    with closing(open_writer(server.config.store.url)) as writer:
        writer.put_items([Item(item_id="imported", title="Brass sextant", tags=("sextants",))], None, "")
    await encoded(server, "imported")


async def test_an_encoder_that_is_away_delays_the_vectors_and_no_more(server: Any) -> None:
    server.broken["encoder"] = NotReady("away")
    assert (await server.client.put("/v1/items/late", json={"title": "Late lamp"})).status_code == 200
    while server.calls[-1] != "encoder" or server.calls[-2:] == ["encoder", "store"]:  # the backfill tried, in vain
        await asyncio.sleep(0.05)
    server.broken.clear()
    await encoded(server, "late")


async def test_a_large_batch_is_durable_before_it_is_encoded(server: Any) -> None:
    server.broken["encoder"] = NotReady("away")
    items = [{"item_id": f"many-{number}", "title": f"Lamp number {number}"} for number in range(100)]
    answer = await server.client.post("/v1/items:batch", json={"items": items})
    assert (answer.status_code, answer.json()["accepted"]) == (200, 100)
    assert (await server.client.get("/v1/items/many-99")).json()["title"] == "Lamp number 99"
    server.broken.clear()
    await encoded(server, "many-0")
    await encoded(server, "many-99")
