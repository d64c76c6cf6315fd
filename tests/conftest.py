"""What several packages' tests share: a small synthetic world, loaded and trained once a session."""

import asyncio
import shutil
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, closing
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import numpy as np
import pytest
import pytest_asyncio

from interest.batch import Tensors
from interest.errors import InvalidRequest
from interest.items import Item
from interest.store.open import open_reader, open_writer
from interest.store.protocol import IMPORTED_UNTIL, StoreReader
from ranking.lambdamart import BoosterSettings
from ranking.release import ModelRepository
from ranking.synthetic import World, make_world
from ranking.training import TrainingSettings, train
from serve.config import STAGES, ServerConfig, parse_config
from serve.follower import Follower
from serve.generation.completion import Adapter, Completion, FinishReason, Piece, Prompt, Sampling
from serve.generation.generator import Generator
from serve.generation.prompt import GenerationTask
from serve.generation.raw import RawCompletions
from serve.generation.templates import template_text
from serve.ingress import Ingress
from serve.model import Model, Parts, StreamingModel
from serve.oip.assembly import OwnModels
from serve.oip.hosted import ModelHost
from serve.oip.model_folders import read_user_models
from serve.ranker import Stage
from serve.stages.factory import make_model
from serve.stages.generator import GeneratorStage
from serve.stages.replica import ReleaseReplica
from serve.startup import checked

EVENTS_AT_ONCE = 20_000


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever needs a trained world is thorough: training it takes longer than most tests together."""
    for item in items:
        if "trained_home" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.thorough)


@dataclass(frozen=True, slots=True)
class Home:
    """A loaded store and a trained release in one folder."""

    folder: Path
    world: World

    @property
    def store_url(self) -> str:
        return f"sqlite:///{self.folder / 'attune.db'}"

    def config(self, **changes: object) -> ServerConfig:
        """A server over this home with evaluation open; `changes` are top-level keys of the config."""
        raw = {
            "store": {"url": self.store_url},
            "repository": str(self.folder / "models"),
            "evaluation": {"enabled": True},
            **changes,
        }
        return checked(parse_config(raw, "test"))


@pytest.fixture(scope="session")
def trained_home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Never written to: take `home` for that."""
    home = Home(tmp_path_factory.mktemp("home"), make_world(np.random.default_rng(7), 40, 80, 6_000))
    with closing(open_writer(home.store_url)) as writer, closing(open_reader(home.store_url)) as reader:
        writer.put_items(home.world.items, None, "")
        for start in range(0, len(home.world.events), EVENTS_AT_ONCE):
            writer.append(home.world.events[start : start + EVENTS_AT_ONCE])
        writer.set_meta(IMPORTED_UNTIL, repr(max(event.timestamp for event in home.world.events)))
        settings = TrainingSettings(encoder="ngram", ngram_dims=64, cuts=2, booster=BoosterSettings(trees=20, leaves=7))
        train(reader, writer, ModelRepository(home.folder / "models"), settings, seed=0, created=1_700_000_000.0)
    return home


@pytest.fixture(scope="module")
def home(trained_home: Home, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A copy for one module of tests, to write to."""
    folder = tmp_path_factory.mktemp("copy") / "home"
    shutil.copytree(trained_home.folder, folder)
    return Home(folder, trained_home.world)


class TemplateEngine:
    """A language model that always says the grammar's own sentence, and counts what it was asked."""

    own_layout = True

    def __init__(self) -> None:
        self.asked: list[GenerationTask] = []
        self.sampled: list[Sampling] = []
        self.salts: list[str] = []
        self.adapters: list[Adapter | None] = []
        self.streaming: set[str] = set()  # requests under way
        self.may_go_on = asyncio.Event()  # clear: every stream stands still after its first piece
        self.may_go_on.set()
        self._texts: dict[str, str] = {}

    def prompt(self, task: GenerationTask) -> str:
        self.asked.append(task)
        prompt = f"{len(self.asked)}"
        self._texts[prompt] = template_text(task)
        return prompt

    async def generate(
        self,
        prompt: Prompt,
        request_id: str,
        max_tokens: int,
        cache_salt: str = "",
        adapter: Adapter | None = None,
        regex: str = "",
    ) -> Completion:
        self.adapters.append(adapter)
        self.salts.append(cache_salt)
        return Completion(self._texts[str(prompt)], 10, 5, finished=True)

    def chat_prompt(self, messages: Sequence[dict[str, str]]) -> Prompt:
        return " ".join(message["content"] for message in messages)

    async def complete(
        self, prompt: Prompt, request_id: str, sampling: Sampling, cache_salt: str = "", adapter: Adapter | None = None
    ) -> Piece:
        pieces = [piece async for piece in self.stream(prompt, request_id, sampling, cache_salt, adapter)]
        return replace(pieces[-1], text="".join(piece.text for piece in pieces))

    async def stream(
        self, prompt: Prompt, request_id: str, sampling: Sampling, cache_salt: str = "", adapter: Adapter | None = None
    ) -> AsyncGenerator[Piece, None]:
        """A token a word: of the text that was asked for by a task, otherwise of the prompt, again and again."""
        self.sampled.append(sampling)
        self.adapters.append(adapter)
        self.salts.append(cache_salt)
        self.streaming.add(request_id)
        try:
            words = self._texts.get(str(prompt), "").split(" ") if str(prompt) in self._texts else None
            async for piece in _told(prompt, words, sampling):
                yield piece
                await self.may_go_on.wait()
        finally:
            self.streaming.discard(request_id)


async def _told(prompt: Prompt, words: list[str] | None, sampling: Sampling) -> AsyncGenerator[Piece, None]:
    """`words` until their end, or the prompt's own for ever; at most `max_tokens`."""
    own = prompt.split() if isinstance(prompt, str) else [f"<{token}>" for token in prompt]
    if "refuse" in own:
        raise InvalidRequest("the prompt is refused")
    said = words or own * 1000
    most = min(len(said), sampling.max_tokens or len(said))
    prompt_tokens = 10 if words else len(own)
    for number, word in enumerate(said[:most], start=1):
        if word in sampling.stop:
            yield Piece("", prompt_tokens, number, "stop")
            return
        last: FinishReason | None = ("stop" if words and most == len(said) else "length") if number == most else None
        yield Piece(word if number == 1 else f" {word}", prompt_tokens, number, last)
        await asyncio.sleep(0)


class TestGeneratorStage(GeneratorStage):
    """The generator stage around an engine of the test's."""

    __test__ = False

    def __init__(self, config: ServerConfig, engine: TemplateEngine) -> None:
        super().__init__(config)
        self._generator = Generator(engine)
        self._raw = RawCompletions(engine)

    async def load(self) -> None:
        """Loaded by construction."""

    async def check_health(self) -> None:
        """A template never dies."""


class LocalServer:
    """Ingress and stages in this process, without Ray: the same classes, called directly."""

    def __init__(self, config: ServerConfig) -> None:
        self.config = config
        self.engine = TemplateEngine()
        self.models: dict[str, Model] = {
            stage: TestGeneratorStage(config, self.engine) if stage == "generator" else make_model(stage, config)
            for stage in STAGES
        }
        self.broken: dict[str, Exception] = {}  # stages that raise instead of answering
        self.breaking: dict[str, Exception] = {}  # stages that raise in the middle of a stream
        self.calls: list[str] = []
        own = read_user_models(config.models_url)
        self.hosts = {name: ModelHost(config.models_url, name) for name in own if not own[name].is_ensemble}
        stages = {stage: self._stage(stage) for stage in STAGES}
        self.ingress = Ingress(config, stages, self._streaming, OwnModels(own, self.hosts))

    async def __aenter__(self) -> "LocalServer":
        for model in self.models.values():
            await model.load()
        for host in self.hosts.values():
            await host.start()
        await self.ingress.start()
        transport = httpx.ASGITransport(app=self.ingress.asgi_app(), raise_app_exceptions=False)
        self.client = httpx.AsyncClient(transport=transport, base_url="http://attune")
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.client.aclose()
        await self.ingress.close()
        for host in self.hosts.values():
            await host.close()
        for model in self.models.values():
            await model.unload()

    async def caught_up(self) -> None:
        """Returns once every stage's copy of items and popularity holds all that is committed."""
        stages = [model for model in self.models.values() if isinstance(model, ReleaseReplica)]
        followers = [self.ingress._follower, *(stage._follower for stage in stages)]
        with closing(open_reader(self.config.store.url)) as reader:
            async with asyncio.timeout(10):
                while any(_is_behind(follower, reader) for follower in followers):
                    await asyncio.sleep(0.02)

    async def _streaming(self, tensors: Tensors) -> AsyncGenerator[Parts, None]:
        self.calls.append("generator")
        if "generator" in self.broken:
            raise self.broken["generator"]
        model = self.models["generator"]
        assert isinstance(model, StreamingModel)
        async with aclosing(model.stream(tensors)) as parts:
            async for part in parts:
                yield part
                if "generator" in self.breaking:
                    raise self.breaking["generator"]

    def _stage(self, name: str) -> Stage:
        async def call(tensors: Tensors) -> Tensors:
            self.calls.append(name)
            if name in self.broken:
                raise self.broken[name]
            return await self.models[name].infer(tensors)

        return call


def _is_behind(follower: Follower, reader: StoreReader) -> bool:
    if reader.item_changes(follower._item_seq, 1, ""):
        return True
    return follower._follow_events and len(reader.event_columns(follower._event_seq, 1).seq) > 0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_server(home: Home) -> AsyncIterator[LocalServer]:
    async with LocalServer(home.config()) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def server(module_server: LocalServer) -> LocalServer:
    """A whole server in process, one for a module of tests; for each whole again, and up to date.

    Events of the test before would otherwise move popularity between two replies that are to be the same.
    """
    await module_server.caught_up()
    module_server.broken.clear()
    module_server.breaking.clear()
    module_server.engine.may_go_on.set()
    api, limits = module_server.ingress._api, module_server.config.limits
    api.permits.limit, api.write_permits.limit = limits.permits, limits.write_permits
    return module_server


@pytest.fixture
def some_item(home: Home) -> Item:
    return home.world.items[0]


@pytest.fixture(autouse=True)
def _no_metrics_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
