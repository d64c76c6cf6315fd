"""Adapters out of the repository: taken up as they are registered, refused when they do not fit, chosen by request."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from interest.errors import InvalidConfig, InvalidRelease, NotFound
from ranking.release import ManifestFields, ModelRepository
from serve.config import parse_config
from serve.generation.adapters import KIND, Adapters, base_identity, names_for, repository_name, with_adapters
from serve.generation.completion import Adapter
from serve.generation.prompt import GenerationTask, ItemFacts
from serve.generation.settings import EngineConfig

MODEL = "someone/some-model"
BOOK = GenerationTask(item=ItemFacts(title="Sea", domain="books"))
FILM = GenerationTask(item=ItemFacts(title="Sea", domain="entertainment"))


class Engine:
    """Remembers what it loaded; refuses what it is told to."""

    def __init__(self, refuses: tuple[str, ...] = ()) -> None:
        self.loaded: list[str] = []
        self._refuses = refuses

    async def load_adapter(self, adapter: Adapter) -> None:
        if adapter.name in self._refuses:
            raise InvalidRelease(f"adapter {adapter.name}: rank 512")
        self.loaded.append(adapter.name)


@pytest.fixture
def repository(tmp_path: Path) -> ModelRepository:
    return ModelRepository(tmp_path)


def register(repository: ModelRepository, name: str, **details: Any) -> None:
    kept = repository_name(name)
    fields = ManifestFields(created=1.0, details={"kind": KIND, "base": base_identity(MODEL), **details})
    repository.write_version(kept, repository.next_version(kept), lambda folder: None, fields)


def adapters(repository: ModelRepository, wanted: Mapping[str, str]) -> Adapters:
    return Adapters(wanted, repository, MODEL)


async def test_a_domain_and_a_tenant_have_adapters_of_their_own_and_all_others_none(
    repository: ModelRepository,
) -> None:
    register(repository, "short")
    register(repository, "terse")
    engine, found = Engine(), adapters(repository, {"books": "short", "tenant:ab12": "terse"})
    await found.load(engine)
    names = [(one and one.name) for one in (found.of_task(BOOK, ""), found.of_task(FILM, ""))]
    assert names == ["short/1", None]
    assert [(one and one.name) for one in (found.of_task(BOOK, "ab12"), found.of_task(FILM, "ab12"))] == ["terse/1"] * 2
    assert found.of_task(BOOK, "cd34") == found.of_task(BOOK, "")
    assert sorted(engine.loaded) == ["short/1", "terse/1"]


async def test_a_new_version_takes_the_place_of_the_old_one_and_a_fixed_one_stays(repository: ModelRepository) -> None:
    engine, found = Engine(), adapters(repository, {"books": "short", "entertainment": "fixed/1"})
    register(repository, "fixed")
    await found.load(engine)
    assert found.of_task(BOOK, "") is None
    for name in ("short", "fixed", "short"):
        register(repository, name)
        await found.follow(engine)
    await found.follow(engine)
    assert engine.loaded == ["fixed/1", "short/1", "short/2"]
    book, film = found.of_task(BOOK, ""), found.of_task(FILM, "")
    assert book is not None
    assert film is not None
    assert (book.name, film.name) == ("short/2", "fixed/1")
    assert len({book.number, film.number}) == 2


@pytest.mark.parametrize("details", [{"kind": "onnx"}, {"base": "another/model"}])
async def test_a_version_of_another_kind_or_model_is_refused_and_the_old_one_goes_on(
    repository: ModelRepository, details: dict[str, str]
) -> None:
    register(repository, "short")
    engine, found = Engine(), adapters(repository, {"books": "short"})
    await found.load(engine)
    register(repository, "short", **details)
    await found.follow(engine)
    book = found.of_task(BOOK, "")
    assert book is not None
    assert book.name == "short/1"
    anew = adapters(repository, {"books": "short"})
    await anew.load(Engine())
    assert anew.of_task(BOOK, "") is None
    with pytest.raises(InvalidRelease, match=r"expected|fitted to"):
        await adapters(repository, {"books": "short/2"}).load(Engine())


async def test_what_the_engine_refuses_is_not_tried_again(
    repository: ModelRepository, caplog: pytest.LogCaptureFixture
) -> None:
    engine, found = Engine(refuses=("short/1",)), adapters(repository, {"books": "short"})
    await found.load(engine)
    register(repository, "short")
    for _ in range(3):
        await found.follow(engine)
    assert (engine.loaded, found.of_task(BOOK, "")) == ([], None)
    assert caplog.text.count("short/1 is not served") == 1


async def test_a_fixed_version_that_is_missing_stops_the_start(repository: ModelRepository) -> None:
    with pytest.raises(InvalidRelease, match="adapter-short/7"):
        await adapters(repository, {"books": "short/7"}).load(Engine())


async def test_a_caller_may_name_adapters_of_domains_and_its_own_alone(repository: ModelRepository) -> None:
    wanted = {"books": "short", "tenant:ab12": "terse", "news": "later"}
    for name in ("short", "terse"):
        register(repository, name)
    found = adapters(repository, wanted)
    await found.load(Engine())
    assert names_for(wanted, "") == names_for(wanted, "cd34") == ["later", "short"]
    assert names_for(wanted, "ab12") == ["later", "short", "terse"]
    assert found.named("terse", "ab12").name == "terse/1"
    for name, tenant in (("terse", ""), ("terse", "cd34"), ("later", ""), ("nothing", "")):
        with pytest.raises(NotFound, match=repr(name)):
            found.named(name, tenant)


def test_the_engine_has_room_for_adapters_only_where_some_are_wanted() -> None:
    assert with_adapters(EngineConfig(), {}) == EngineConfig()
    assert with_adapters(EngineConfig(), {"books": "short", "news": "short", "tenant:a": "b"}).max_loras == 3
    assert with_adapters(EngineConfig(max_loras=8), {"books": "short"}).max_loras == 8


def test_the_identity_of_a_folder_is_that_of_its_weights(tmp_path: Path) -> None:
    assert base_identity("someone/some-model") == "someone/some-model"
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    before = base_identity(str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    assert base_identity(str(tmp_path)) == before
    (tmp_path / "model.safetensors").write_bytes(b"other weights")
    assert base_identity(str(tmp_path)) != before


@pytest.mark.parametrize("name", ["", "a b", "../x", "a/b/c"])
def test_an_adapter_that_cannot_be_one_stops_the_start_with_its_key(name: str) -> None:
    with pytest.raises(InvalidConfig, match=r"generation\.adapters\.books"):
        parse_config({"generation": {"adapters": {"books": name}}}, "test")
