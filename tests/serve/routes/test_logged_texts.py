"""What is kept of a text that was shown: enough to make its prompt again, and nothing once its user is erased."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from interest.store.open import open_reader
from serve.generation.prompt import build_prompt
from serve.generation.templates import template_text
from serve.text_origin import task_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

USER, WORD = "someone-private", "zyzzyva"


@pytest.mark.parametrize("asked", [{}, {"candidates": 3, "content_type": "summary"}])
async def test_what_is_logged_of_a_text_makes_its_prompt_again(server: Any, home: Any, asked: dict[str, Any]) -> None:
    server.engine.asked.clear()
    body = {"user_id": home.world.events[-1].user_id, "count": 4, "generate": asked}
    reply = (await server.client.post("/v1/recommendations", json=body)).json()
    prompts = [build_prompt(task) for task in server.engine.asked]
    with closing(open_reader(home.store_url)) as reader:
        async with asyncio.timeout(5):
            while len(logged := [one for one in reader.texts_since(0.0) if one.recommendation_id == reply["id"]]) < 4:
                await asyncio.sleep(0.02)
        for shown in logged:
            item = reader.item(shown.item_id)
            assert item is not None
            task = task_of(shown.origin, item)
            assert build_prompt(task) in prompts
            assert template_text(task) == shown.text


async def test_an_erasure_leaves_nothing_of_a_user_in_any_table(server: Any, home: Any) -> None:
    await server.client.put(f"/v1/users/{USER}/interests", json={"interests": [{"kind": "tag", "name": WORD}]})
    event = {"id": "private-event", "type": "comment", "user_id": USER, "text": f"more {WORD}"}
    event["item_id"] = home.world.items[0].item_id
    assert (await server.client.post("/v1/events", json=event)).status_code == 202
    await server.client.post("/v1/recommendations", json={"user_id": USER, "count": 4, "generate": {}})
    await server.ingress._impressions.close()
    path = home.folder / "attune.db"
    assert {"users", "events", "edits", "impressions", "text_origins", "snapshots"} <= tables_with(path)
    assert (await server.client.delete(f"/v1/users/{USER}")).status_code == 200
    assert tables_with(path) == set()


def tables_with(path: Path) -> set[str]:
    """Tables that hold the user's id or word in any cell."""
    with closing(sqlite3.connect(path)) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        cells = {table: repr(connection.execute(f"SELECT * FROM {table}").fetchall()) for table in tables}
    return {table for table, text in cells.items() if USER in text or WORD in text}
