"""What several packages' tests share: a small synthetic world, loaded and trained once a session."""

import shutil
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest
import pytest_asyncio

from interest.batch import Tensors
from interest.items import Item
from interest.store.open import open_reader, open_writer
from interest.store.protocol import IMPORTED_UNTIL
from ranking.lambdamart import BoosterSettings
from ranking.release import ModelRepository
from ranking.synthetic import World, make_world
from ranking.training import TrainingSettings, train
from serve.config import STAGES, ServerConfig, parse_config
from serve.generation.engine import Completion
from serve.generation.generator import Generator
from serve.generation.prompt import GenerationTask
from serve.generation.templates import template_text
from serve.ingress import Ingress
from serve.model import Model
from serve.ranker import Stage
from serve.stages.factory import make_model
from serve.stages.generator import GeneratorStage
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
        self._texts: dict[str, str] = {}

    def prompt(self, task: GenerationTask) -> str:
        self.asked.append(task)
        prompt = f"{len(self.asked)}"
        self._texts[prompt] = template_text(task)
        return prompt

    async def generate(self, prompt: str, request_id: str, max_tokens: int) -> Completion:
        return Completion(self._texts[prompt], 10, 5, finished=True)


class TestGeneratorStage(GeneratorStage):
    """The generator stage around an engine of the test's."""

    __test__ = False

    def __init__(self, config: ServerConfig, engine: TemplateEngine) -> None:
        super().__init__(config)
        self._generator = Generator(engine)

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
        self.calls: list[str] = []
        self.ingress = Ingress(config, {stage: self._stage(stage) for stage in STAGES})

    async def __aenter__(self) -> "LocalServer":
        for model in self.models.values():
            await model.load()
        await self.ingress.start()
        transport = httpx.ASGITransport(app=self.ingress.asgi_app(), raise_app_exceptions=False)
        self.client = httpx.AsyncClient(transport=transport, base_url="http://attune")
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.client.aclose()
        await self.ingress.close()
        for model in self.models.values():
            await model.unload()

    def _stage(self, name: str) -> Stage:
        async def call(tensors: Tensors) -> Tensors:
            self.calls.append(name)
            if name in self.broken:
                raise self.broken[name]
            return await self.models[name].infer(tensors)

        return call


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_server(home: Home) -> AsyncIterator[LocalServer]:
    async with LocalServer(home.config()) as running:
        yield running


@pytest.fixture
def server(module_server: LocalServer) -> LocalServer:
    """A whole server in process, one for a module of tests, whole again for each."""
    module_server.broken.clear()
    api, limits = module_server.ingress._api, module_server.config.limits
    api.permits.limit, api.write_permits.limit = limits.permits, limits.write_permits
    return module_server


@pytest.fixture
def some_item(home: Home) -> Item:
    return home.world.items[0]


@pytest.fixture(autouse=True)
def _no_metrics_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
