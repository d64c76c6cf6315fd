"""The ranking stages follow the store, and serve what their release says: the same as offline."""

import asyncio
import math
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from interest.batch import UserBatch
from interest.errors import InvalidRelease
from interest.events import Event, EventType
from interest.items import Item
from interest.store.open import open_reader, open_writer
from ranking.batch import CandidateBatch
from ranking.offline import load_stages, plain_requests
from ranking.release import ManifestFields, ModelRepository
from ranking.retriever_settings import RetrieverSettings
from ranking.sources import SOURCES
from serve.config import ServerConfig
from serve.ranker import Query, _boosts, _requests, user_tensors
from serve.stages.factory import make_model
from serve.startup import candidates_of

POPULAR = RetrieverSettings(dict.fromkeys(SOURCES, 0) | {"popular": 1}, candidates=12)


def write_release(home: Any, name: str, save: Any) -> None:
    """A release like the first one, with the retriever's folder filled by `save`."""
    repository = ModelRepository(home.folder / "models")
    first = repository.read_release("1")
    dims = repository.open_version("retriever", first.models["retriever"]).manifest["dims"]
    version = repository.write_version("retriever", name, save, ManifestFields(created=0.0, dims=dims))
    repository.write_release(replace(first, name=name, models={**first.models, "retriever": version.version}))


async def candidates(config: ServerConfig, users: UserBatch) -> CandidateBatch:
    """What the live stage of this config finds for the users."""
    stage = make_model("retriever", config)
    await stage.load()
    query = Query("anybody", 5, 0.0, math.nan, False, np.empty(0, dtype=np.int64))
    queries = [query] * len(users.now)
    requests = {**_requests(queries, candidates_of(config)).to_tensors(), **_boosts(queries).to_tensors()}
    release = {"release": np.array([config.release], dtype=object)}
    found = CandidateBatch.from_tensors(await stage.infer({**release, **users.to_tensors(), **requests}))
    await stage.unload()
    return found


async def test_quotas_and_candidates_are_those_of_the_release_live_and_offline(home: Any) -> None:
    write_release(home, "popular", POPULAR.save)
    repository = ModelRepository(home.folder / "models")
    with closing(open_reader(home.store_url)) as reader:
        stages = load_stages(reader, repository, repository.read_release("popular"))
        names = reader.user_ids(8)
        users = stages.lookup.lookup(reader.profiles(names), np.full(len(names), home.world.end))
        offline = stages.retriever.retrieve(users, plain_requests(users.now, False, stages.candidates))
    live = await candidates(home.config(release="popular"), users)
    assert np.diff(live.candidate_offsets).tolist() == [12] * len(names)
    np.testing.assert_array_equal(live.candidate_item, offline.candidate_item)
    default = await candidates(home.config(release="1", retrieval={"candidates": 12}), users)
    assert live.candidate_item.tolist() != default.candidate_item.tolist()
    every = await candidates(home.config(release="1"), users)
    assert np.diff(every.candidate_offsets).min() > 12


async def test_the_config_may_ask_for_another_number_of_candidates(home: Any) -> None:
    assert candidates_of(home.config(release="1")) == RetrieverSettings().candidates
    assert candidates_of(home.config(release="1", retrieval={"candidates": 40})) == 40


async def test_a_retriever_without_valid_settings_stops_the_start(home: Any) -> None:
    write_release(home, "broken", lambda folder: (folder / "retriever.json").write_text("{}"))
    with pytest.raises(InvalidRelease, match=r"retriever\.json: expected quotas and candidates"):
        home.config(release="broken")


async def test_a_new_item_counts_in_the_interests_of_those_who_liked_it_without_a_restart(home: Any) -> None:
    config = home.config(release="1")
    stage = make_model("interest", config)
    await stage.load()
    with closing(open_writer(home.store_url)) as writer:
        like = Event(event_id="z", type=EventType.LIKE, user_id="zoe", item_id="zither", timestamp=home.world.end)
        writer.append([like])
        writer.put_items([Item(item_id="zither", title="Zither", tags=("plucked",))], None, "")
    query = Query("zoe", 5, home.world.end, math.nan, False, np.empty(0, dtype=np.int64))
    asked = {"release": np.array([config.release], dtype=object), **user_tensors([query])}
    names: set[str] = set()
    async with asyncio.timeout(10):
        while "plucked" not in names:  # the follower looks every 0.2 s
            names = {name for _, name, _, _ in (await stage.infer(asked))["reply_interests"][0]}
    await stage.unload()
