"""The stages of the benchmark of servers are the same on both sides."""

import asyncio
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from benchmarks.peers import trivial
from benchmarks.peers.attune_app import TrivialStage
from benchmarks.peers.home import item_ids, item_keys, vector_sizes
from benchmarks.peers.packing import Layout
from benchmarks.peers.servers import real_models, trivial_models
from interest.batch import Tensors, ragged_offsets
from serve.oip.stage_arrays import USER_TYPES, candidate_inputs, user_inputs
from serve.ranker import NO_HISTORY, Query, user_tensors

NAMES = ["user-1", "user-2", "somebody", "user-996"]


def test_every_user_has_other_items_best_first() -> None:
    items, scores = trivial.answer([trivial.user_name(number) for number in range(trivial.ITEMS)])
    assert len({tuple(row) for row in items.tolist()}) == trivial.ITEMS
    assert (np.diff(scores, axis=1) < 0).all()
    assert items.min() >= 0
    assert items.max() < trivial.ITEMS


def test_the_trivial_stages_of_attune_give_the_same_items(trained_home: Any) -> None:
    config = trained_home.config()

    async def answer() -> Tensors:
        stages = {name: TrivialStage(name, config) for name in ("interest", "retriever", "reranker")}
        try:
            queries = [Query(name, 10, 0.0, np.nan, False, NO_HISTORY.items) for name in NAMES]
            users = await stages["interest"].infer(user_tensors(queries))
            found = await stages["retriever"].infer(users)
            return await stages["reranker"].infer(found)
        finally:
            for stage in stages.values():
                await stage.unload()

    ranked = asyncio.run(answer())
    keys, (places, scores) = item_keys(config), trivial.answer(NAMES)
    assert ranked["ranked_item"].tolist() == keys[places].ravel().tolist()
    assert ranked["ranked_score"].tolist() == scores.ravel().tolist()
    assert len(item_ids(config)) == len(keys)


def test_a_packed_batch_is_itself_again(trained_home: Any) -> None:
    rank, content = vector_sizes(trained_home.config())
    layout, rng = Layout(user_inputs(rank, content)), np.random.default_rng(0)
    lengths = {"behaviour": np.array([2, 0, 3]), "facet": np.array([0, 4, 1])}
    batch: Tensors = {f"{kind}_offsets": ragged_offsets(sizes) for kind, sizes in lengths.items()}
    for tensor in user_inputs(rank, content):
        if tensor.name in USER_TYPES:
            rows = lengths[tensor.name.split("_")[0]].sum() if tensor.dims[0] == -1 else 3
            dims = [size for size in tensor.dims if size not in (-1, 1)]
            batch[tensor.name] = (100 * rng.random((rows, *dims))).astype(layout.dtype_of(tensor.name))
    again = layout.unpacked([row[0] for row in layout.packed(batch)])
    assert again.keys() == batch.keys()
    for name, array in batch.items():
        assert again[name].dtype == array.dtype, name
        assert np.array_equal(again[name], array), name


def test_a_packed_list_of_candidates_is_itself_again() -> None:
    layout = Layout(candidate_inputs())
    width = candidate_inputs()[2].dims[1]
    batch: Tensors = {
        "candidate_offsets": ragged_offsets([2, 1]),
        "candidate_item": np.array([5, 6, 7]),
        "candidate_score": np.arange(3 * width, dtype=np.float32).reshape(3, width),
    }
    again = layout.unpacked([row[0] for row in layout.packed(batch)])
    assert all(np.array_equal(again[name], array) for name, array in batch.items())


@pytest.mark.parametrize("models", [trivial_models(64), real_models()], ids=["trivial", "real"])
def test_tritons_configs_are_three_batched_stages_and_their_ensemble(models: Any) -> None:
    configs = [text_format.Parse(model.config, model_config_pb2.ModelConfig()) for model in models]
    assert [config.HasField("dynamic_batching") for config in configs] == [True, True, True, False]
    assert {config.max_batch_size for config in configs} == {64}
    steps = configs[-1].ensemble_scheduling.step
    assert [step.model_name for step in steps] == ["interest", "retriever", "reranker"]
    assert set(steps[1].output_map.values()) <= set(steps[2].input_map.values())
