"""Every stage keeps the `Model` protocol: loads, answers row by row, knows its release, unloads twice without harm."""

import math
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
import pytest_asyncio

from interest.batch import Tensors
from interest.errors import WrongRelease
from interest.events import EVENT_CODES, EventType
from serve.config import STAGES
from serve.generation.prompt import GenerationTask, ItemFacts
from serve.model import Model
from serve.ranker import Exploration, History, Query, _boosts, _requests, _wishes, user_tensors
from serve.store_commands import Append, DeleteItems

pytestmark = pytest.mark.asyncio(loop_scope="module")

PURCHASE = EVENT_CODES[EventType.PURCHASE]
RELEASED = ("interest", "retriever", "reranker")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def models(module_server: Any) -> AsyncIterator[dict[str, Model]]:
    yield module_server.models


def queries(home: Any, count: int) -> list[Query]:
    users = sorted({event.user_id for event in home.world.events})[:count]
    nothing = np.empty(0, dtype=np.int64)
    asked = [Query(user, 5, home.world.end, math.nan, False, nothing) for user in users]
    asked[0] = replace(asked[0], boosts=(("price < 50", 3.0), ('language == "en"', 0.5)), diversity=0.5)
    asked[0] = replace(asked[0], calibration=0.5, exploration=Exploration(0.9, 1, 20, 4))
    bought = History(np.array([1, 2]), np.full(2, PURCHASE, np.int8), np.full(2, home.world.end), np.full(2, np.nan))
    asked[1:2] = [replace(query, history=bought) for query in asked[1:2]]
    asked[2:3] = [replace(query, given=np.array([7, 3, 5])) for query in asked[2:3]]
    return asked


async def inputs(stage: str, models: dict[str, Model], server: Any, home: Any, rows: int) -> Tensors:
    """A valid batch of `rows` rows for this stage, made by the stages before it."""
    if stage == "encoder":
        return {"text": np.array([f"text {row}" for row in range(rows)], dtype=object)}
    if stage == "store":
        commands = [msgspec.msgpack.encode(DeleteItems([f"absent-{row}"])) for row in range(rows)]
        return {"command": np.array(commands, dtype=object)}
    if stage == "generator":
        tasks = [GenerationTask(item=ItemFacts(title=f"Title {row}")) for row in range(rows)]
        return {
            "task": np.array([msgspec.json.encode(task) for task in tasks], dtype=object),
            "max_tokens": np.full(rows, 50),
            "remaining_ms": np.full(rows, 5000.0),
        }
    release = {"release": np.array([server.config.release], dtype=object)}
    asked = queries(home, rows)
    batch = {**release, **user_tensors(asked)}
    if stage == "interest":
        return batch
    users = {k: v for k, v in (await models["interest"].infer(batch)).items() if not k.startswith("reply_")}
    batch = {**release, **users, **_requests(asked, 50).to_tensors(), **_boosts(asked).to_tensors()}
    if stage == "retriever":
        return batch
    candidates = await models["retriever"].infer(batch)
    asks = {**_boosts(asked).to_tensors(), **_wishes(asked).to_tensors()}
    return {**release, **users, **candidates, **asks, "wanted": np.full(rows, 5)}


def rows_of(stage: str, answer: Tensors) -> int:
    if stage == "retriever":
        return len(answer["candidate_offsets"]) - 1
    if stage == "reranker":
        return len(answer["ranked_offsets"]) - 1
    name = {"encoder": "embedding", "store": "answer", "generator": "text", "interest": "vector"}[stage]
    return len(answer[name])


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("rows", [1, 7])
async def test_a_batch_has_one_answer_a_row_and_its_inputs_stay_as_they_were(
    models: dict[str, Model], server: Any, home: Any, stage: str, rows: int
) -> None:
    batch = await inputs(stage, models, server, home, rows)
    before = {name: array.copy() for name, array in batch.items()}
    answer = await models[stage].infer(batch)
    assert rows_of(stage, answer) == rows
    for name, array in before.items():
        np.testing.assert_array_equal(batch[name], array)


@pytest.mark.parametrize("stage", STAGES)
async def test_it_carries_its_name_and_is_healthy(models: dict[str, Model], server: Any, stage: str) -> None:
    assert models[stage].name == stage
    await models[stage].check_health()


@pytest.mark.parametrize("stage", RELEASED)
async def test_a_batch_of_another_release_is_refused(
    models: dict[str, Model], server: Any, home: Any, stage: str
) -> None:
    batch = await inputs(stage, models, server, home, 2)
    with pytest.raises(WrongRelease, match="'other' was asked for"):
        await models[stage].infer({**batch, "release": np.array(["other"], dtype=object)})


@pytest.mark.parametrize("stage", ["interest", "retriever", "reranker"])
async def test_a_row_is_answered_the_same_alone_and_in_company(
    models: dict[str, Model], server: Any, home: Any, stage: str
) -> None:
    """In company of a request with a history and one that gives its candidates; its own has boosters and wishes."""
    together = await models[stage].infer(await inputs(stage, models, server, home, 6))
    alone = await models[stage].infer(await inputs(stage, models, server, home, 1))
    for name, array in alone.items():
        if name.endswith("_offsets"):
            assert together[name][1] == array[1]
        else:
            np.testing.assert_array_equal(together[name][: len(array)], array, err_msg=name)


async def test_a_bad_command_fails_alone(models: dict[str, Model], server: Any, some_item: Any) -> None:
    from interest.events import Event, EventType

    def view(kind: EventType) -> bytes:
        event = Event(event_id="m-1", type=kind, user_id="u", item_id=some_item.item_id, timestamp=1.0)
        return msgspec.msgpack.encode(Append([event], []))

    commands = np.array([view(EventType.VIEW), view(EventType.LIKE), view(EventType.VIEW)], dtype=object)
    answers = [msgspec.msgpack.decode(body) for body in (await models["store"].infer({"command": commands}))["answer"]]
    assert [answer["error"] for answer in answers] == ["", "ConflictingWrite", ""]


async def test_unloading_twice_is_harmless(home: Any, server: Any) -> None:
    from serve.stages.factory import make_model

    for stage in STAGES:
        if stage != "generator":
            model = make_model(stage, server.config)
            await model.load()
            await model.unload()
            await model.unload()
