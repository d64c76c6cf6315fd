"""Which models an ingress replica serves by the protocol: the stages of its release, and the pipeline."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from interest.catalogue import Catalogue
from interest.clock import Clock
from interest.lookup import CONTENT_VECTORS
from ranking.encoder_files import encoder_identity
from ranking.release import ModelRepository, Release
from serve.completions import Completions
from serve.config import ServerConfig
from serve.oip.added_models import AddedModels
from serve.oip.deployed import Deployments, NoDeployments
from serve.oip.ensemble import checked_ensemble
from serve.oip.entries import Entry, FixedEntry, Host, UserEntry
from serve.oip.model_config import ModelConfig
from serve.oip.model_folders import BUILT_IN
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


@dataclass(frozen=True, slots=True)
class OwnModels:
    """Models of the user's own, by name: those that the server was started with, and what deploys later ones.

    A replica that comes back knows the same ones: what has come into the repository meanwhile is not `configs`.
    """

    configs: Mapping[str, ModelConfig] = field(default_factory=dict)  # ensembles too
    hosts: Mapping[str, Host] = field(default_factory=dict)
    deployments: Deployments = field(default_factory=NoDeployments)


def inference_server(
    config: ServerConfig,
    stages: Mapping[str, Stage],
    catalogue: Catalogue,
    clock: Clock,
    pipeline: Pipeline,
    completions: Completions,
    own: OwnModels,
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
    batched, single = config.batching.max_in_flight, config.limits.permits  # without a batch, each is one of its own
    entries: dict[str, Entry] = {
        name: FixedEntry(model, _version(release, name), batched if model.config.max_batch_size else single)
        for name, model in models.items()
    }
    configs = own.configs
    entries |= {name: UserEntry(configs[name], host, configs[name].instances) for name, host in own.hosts.items()}
    known = {**configs, **{name: entry.config for name, entry in entries.items()}}
    ensembles = {name: checked_ensemble(one, known) for name, one in configs.items() if one.is_ensemble}
    added = AddedModels(config.models_url, {*BUILT_IN, *configs}, own.deployments, single, ensembles)
    return InferenceServer("attune", version, entries, config.limits.max_timeout_ms / 1000, added)


def _version(release: Release, name: str) -> str:
    return release.name if name == "recommend" else release.models.get(name, NO_VERSION)
