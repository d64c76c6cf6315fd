"""One ingress replica: its own copy of the catalogue, the pipeline, the writes, and a warm-up before it is ready."""

import asyncio
import contextvars
import logging
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version as package_version
from pathlib import Path

from interest.catalogue import Catalogue
from interest.errors import AttuneError
from interest.store.open import open_reader
from interest.store.protocol import EventColumns, ItemChange
from ranking.encoder_files import encoder_identity
from ranking.popularity import Popularity
from ranking.release import ModelRepository, Release
from serve.admission import Permits
from serve.backfill import Backfill
from serve.completions import Completions
from serve.config import ServerConfig
from serve.embeddings import Embeddings
from serve.evaluations import Evaluations
from serve.follower import Follower
from serve.generation.prompt import PROMPT_VERSION
from serve.generations import Generations
from serve.grpc_service import GrpcService
from serve.impressions import ImpressionWriter
from serve.model import Streaming
from serve.oip.assembly import NO_VERSION, OwnModels, inference_server
from serve.oip.counting import counted, counted_streaming
from serve.oip.statistics import ModelStatistics
from serve.paging import Pages
from serve.pipeline import Pipeline
from serve.popular import PopularItems
from serve.ranker import Stage
from serve.routes.api import Api, Readiness
from serve.routes.app import ASGIApp, create_app
from serve.routes.envelope import RequestEnvelope
from serve.schema import Generate, RecommendationRequest
from serve.startup import clock_of, model_versions
from serve.store_commands import StoreClient
from serve.telling import Telling
from serve.text_choice import TextChooser
from serve.users import Users
from serve.writer import ContentWriter
from serve.writes import Writes

NO_MODELS = OwnModels()
WARM_UP_USER = "attune-warm-up"
WARM_UP_RETRY_S = 0.5

log = logging.getLogger("attune.ingress")


class Ingress:
    """Owns what the routes use; `stages` are the six deployments behind it, `streaming` the generator's other door.

    `own`: models of the user's own.
    """

    def __init__(
        self,
        config: ServerConfig,
        stages: Mapping[str, Stage],
        streaming: Streaming,
        own: OwnModels = NO_MODELS,
    ) -> None:
        self._config = config
        self._own = own
        self._stages = stages
        self._streaming = streaming
        self._readiness = Readiness()
        self._reader = open_reader(config.store.url)
        self._catalogue = Catalogue()
        self._popularity = Popularity()
        self._follower = Follower(self._reader, self._apply, config.retrieval.follow_interval_s, "ingress")
        self._impressions = ImpressionWriter(StoreClient(stages["store"]))
        self._tasks: list[asyncio.Task[None]] = []
        release = ModelRepository(Path(config.repository)).read_release(config.release)
        self._encoder = counted(stages["encoder"], ModelStatistics("encoder", release.models["encoder"]))
        self._api = self._make_api(release)
        self._app = create_app(self._api)
        self._backfill = Backfill(
            self._reader,
            self._api.writes.store,
            self._encoder,
            self._api.writes.encoder_name,
            lambda: self._follower.item_seq,
        )

    async def start(self) -> None:
        """Load the catalogue, then warm up in the background: /health answers meanwhile, /ready does not."""
        await asyncio.to_thread(self._follower.catch_up)
        self._follower.start()
        loop = asyncio.get_running_loop()
        work = (self._warm_up(), self._backfill.run())
        self._tasks = [loop.create_task(one, context=contextvars.Context()) for one in work]

    def asgi_app(self, request_id_header: bool = True) -> ASGIApp:
        """The HTTP surface; `request_id_header` False where somebody in front adds `X-Request-ID` to replies."""
        return RequestEnvelope(self._app, self._api.limits.max_body_bytes, request_id_header)

    def grpc_service(self) -> GrpcService:
        """The gRPC surface."""
        return GrpcService(self._api)

    async def check_health(self) -> None:
        """An ingress is healthy while its loop turns: its stages have health checks of their own."""

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await self._api.evaluations.close()
        await self._api.inference.close()
        await self._impressions.close()
        await self._api.pipeline.close()
        self._follower.stop()
        self._reader.close()

    def _apply(self, changes: Sequence[ItemChange], events: EventColumns | None) -> None:
        self._catalogue.apply(changes)
        if events is not None:
            self._popularity.append(events)

    def _make_api(self, release: Release) -> Api:
        config = self._config
        repository = ModelRepository(Path(config.repository))
        encoder, _ = encoder_identity(repository.open_version("encoder", release.models["encoder"]).folder)
        versions = model_versions(release, config.generation.engine.model, PROMPT_VERSION)
        clock = clock_of(config)
        store = StoreClient(self._stages["store"])
        popular = PopularItems(self._catalogue, self._popularity)
        interest = self._stages["interest"]
        told = ModelStatistics("generator", release.models.get("generator", NO_VERSION))
        generator, streaming = counted(self._stages["generator"], told), counted_streaming(self._streaming, told)
        chooser = TextChooser(self._encoder)
        writer = ContentWriter(generator, streaming, chooser, Telling(self._catalogue), config.generation)
        pipeline = Pipeline(config, self._stages, self._catalogue, popular, clock, versions, self._impressions, writer)
        completions = Completions(generator, streaming, config.generation, config.limits)
        of_protocol = Completions(self._stages["generator"], streaming, config.generation, config.limits)
        return Api(
            pipeline=pipeline,
            generations=Generations(config.generation, pipeline, self._catalogue, versions),
            pages=Pages(config, self._reader, self._catalogue, writer, clock, self._impressions),
            writes=Writes(store, self._reader, self._encoder, encoder, clock, config.limits),
            users=Users(self._reader, interest, clock, release.name, config.evaluation.enabled),
            evaluations=Evaluations(
                config.evaluation, config.limits, pipeline.answer, versions, store, self._reader, self._catalogue
            ),
            completions=completions,
            inference=inference_server(
                config,
                self._stages,
                self._catalogue,
                clock,
                pipeline,
                of_protocol,
                self._own,
                package_version("attune"),
            ),
            embeddings=Embeddings(self._encoder, encoder, config.limits),
            reader=self._reader,
            catalogue=self._catalogue,
            permits=Permits(config.limits.permits),
            write_permits=Permits(config.limits.write_permits),
            readiness=self._readiness,
            limits=config.limits,
            version={"attune": package_version("attune"), **versions},
        )

    async def _warm_up(self) -> None:
        """One whole request through every stage, again until it comes back undegraded."""
        start = time.perf_counter()
        self._readiness.reason = "warming up: models of the repository"
        await self._api.inference.start()
        while not self._readiness.ready:
            generate = Generate() if self._config.generation.enabled else None
            request = RecommendationRequest(user_id=WARM_UP_USER, count=2, generate=generate, timeout_ms=60_000)
            try:
                reply = await self._api.pipeline.answer(request)
            except AttuneError as error:
                self._readiness.reason = f"warming up: {error.message}"
            except Exception as error:  # whatever it is: an ingress that stops trying is never ready
                log.exception("the warm-up failed; trying again")
                self._readiness.reason = f"warming up: {type(error).__name__}"
            else:
                self._readiness.reason = f"warming up: {', '.join(reply.degraded)} not ready yet"
                self._readiness.ready = not reply.degraded
            if not self._readiness.ready:
                await asyncio.sleep(WARM_UP_RETRY_S)
        log.info("ready after %.1f s", time.perf_counter() - start)
