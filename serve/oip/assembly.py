"""Which models an ingress replica serves by the protocol: the stages of its release, and the pipeline."""

from collections.abc import Mapping
from pathlib import Path

from interest.catalogue import Catalogue
from interest.clock import Clock
from interest.lookup import CONTENT_VECTORS
from ranking.encoder_files import encoder_identity
from ranking.release import ModelRepository, Release
from serve.completions import Completions
from serve.config import ServerConfig
from serve.oip.pipeline_models import GeneratorModel, RecommendModel
from serve.oip.server import InferenceServer
from serve.oip.stage_models import (
    EncoderModel,
    InterestModelOfStage,
    RerankerModel,
    RetrieverModel,
    ServedModel,
)
from serve.pipeline import Pipeline
from serve.ranker import Stage
from serve.startup import candidates_of

NO_VERSION = "none"  # of a stage that the release has no model for, as replies say


def inference_server(
    config: ServerConfig,
    stages: Mapping[str, Stage],
    catalogue: Catalogue,
    clock: Clock,
    pipeline: Pipeline,
    completions: Completions,
    version: str,
) -> InferenceServer:
    """Sizes are those of the release's own manifests."""
    repository = ModelRepository(Path(config.repository))
    release = repository.read_release(config.release)
    _, encoded = encoder_identity(repository.open_version("encoder", release.models["encoder"]).folder)
    rank = int(repository.open_version("interest", release.models["interest"]).manifest["dims"]["rank"])
    content, size = (CONTENT_VECTORS, encoded), config.batching.max_batch_size
    past, candidates = config.evaluation.enabled, candidates_of(config)
    models: dict[str, ServedModel] = {
        "encoder": EncoderModel(stages["encoder"], encoded, size),
        "interest": InterestModelOfStage(stages["interest"], clock, release.name, rank, content, size, past),
        "retriever": RetrieverModel(stages["retriever"], release.name, rank, content, size, candidates),
        "reranker": RerankerModel(stages["reranker"], catalogue, release.name, rank, content, size),
        "recommend": RecommendModel(pipeline, size),
    }
    if config.generation.enabled:
        models["generator"] = GeneratorModel(completions)
    served = {name: (_version(release, name), model) for name, model in models.items()}
    timeout_s = config.limits.max_timeout_ms / 1000
    return InferenceServer("attune", version, served, config.batching.max_in_flight, timeout_s)


def _version(release: Release, name: str) -> str:
    return release.name if name == "recommend" else release.models.get(name, NO_VERSION)
