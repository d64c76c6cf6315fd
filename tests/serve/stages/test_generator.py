"""The generator stage: what it tells the check about the catalogue."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import numpy as np
import pytest

from interest.items import Item
from interest.store.open import open_reader, open_writer
from serve.config import ServerConfig, parse_config
from serve.generation.completion import Adapter, Completion, EngineStats, Prompt
from serve.generation.generator import GeneratedText
from serve.generation.grounding import Reason
from serve.generation.prompt import GenerationTask, ItemFacts
from serve.stages.generator import GeneratorStage, facet_names

ITEMS = (
    Item(item_id="1", title="News", categories=("World", "Deep  Sea"), tags=("Harbours",)),
    Item(item_id="2", title="Lamp", categories=("Lighting",), tags=("copper", "")),
    Item(item_id="3", title="Gone", categories=("Forgotten",)),
)
SENTENCE = 'Nobody who loves harbours can resist "Lamp".'


class FreeEngine:
    """A model that writes as it likes, or one trained on our layout; always the same sentence."""

    def __init__(self, own_layout: bool) -> None:
        self.own_layout = own_layout

    async def start(self) -> None:
        """Nothing to start."""

    def prompt(self, task: GenerationTask) -> str:
        return task.item.title

    async def generate(
        self,
        prompt: Prompt,
        request_id: str,
        max_tokens: int,
        cache_salt: str = "",
        adapter: Adapter | None = None,
        regex: str = "",
    ) -> Completion:
        return Completion(SENTENCE, 10, 5, finished=True)

    def stats(self) -> EngineStats:
        return EngineStats(0, 0, 0, 0)

    def shutdown(self) -> None:
        """Nothing to stop."""


@pytest.fixture
def config(tmp_path: Path) -> Iterator[ServerConfig]:
    url = f"sqlite:///{tmp_path / 'attune.db'}"
    with closing(open_writer(url)) as writer:
        writer.put_items(ITEMS, None, "")
        writer.delete_items(["3"])
        yield parse_config({"store": {"url": url}}, "test")


async def written(config: ServerConfig, engine: FreeEngine, item: Item) -> GeneratedText:
    stage = GeneratorStage(config)
    stage._engine = engine  # type: ignore[assignment]
    await stage.load()
    facts = ItemFacts(title=item.title, categories=item.categories, tags=item.tags)
    answer = await stage.infer(
        {
            "task": np.array([msgspec.json.encode(GenerationTask(item=facts))], dtype=object),
            "max_tokens": np.array([20]),
            "remaining_ms": np.array([5000.0]),
        }
    )
    await stage.unload()
    return msgspec.json.decode(answer["text"][0], type=GeneratedText)


@pytest.mark.parametrize("page", [1, 2, 100])
def test_the_facets_are_those_of_every_living_item_case_folded(config: ServerConfig, page: int) -> None:
    with closing(open_reader(config.store.url)) as reader:
        assert facet_names(reader, page) == {"world", "deep  sea", "harbours", "lighting", "copper"}


async def test_a_free_model_that_names_another_items_tag_is_refused(config: ServerConfig) -> None:
    text = await written(config, FreeEngine(own_layout=False), ITEMS[1])
    assert (text.source, text.reason) == ("template", Reason.FACET)


async def test_a_free_model_may_name_every_tag_of_the_item_also_those_left_out_of_its_prompt(
    config: ServerConfig,
) -> None:
    item = Item(item_id="2", title="Lamp", tags=("a", "b", "c", "d", "e", "f", "Harbours"))
    text = await written(config, FreeEngine(own_layout=False), item)
    assert (text.source, text.reason) == ("model", None)


async def test_a_model_of_our_own_layout_needs_no_catalogue(tmp_path: Path) -> None:
    config = parse_config({"store": {"url": f"sqlite:///{tmp_path / 'none.db'}"}}, "test")
    text = await written(config, FreeEngine(own_layout=True), ITEMS[1])
    assert (text.source, text.reason) == ("template", Reason.FACET)  # the sentence is none of our grammar
