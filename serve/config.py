"""Every setting of a server in one frozen object, checked before anything starts: an unknown key is an error."""

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from interest.errors import InvalidConfig
from serve.generation.settings import EngineConfig

STAGES = ("store", "interest", "retriever", "reranker", "encoder", "generator")
DEPLOYMENTS = ("ingress", *STAGES)


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Autoscaling(Settings):
    """Bounds of Ray Serve's autoscaler for one deployment."""

    min_replicas: int = Field(1, ge=0)
    max_replicas: int = Field(2, ge=1)
    target_ongoing_requests: float = Field(2.0, gt=0)


class DeploymentConfig(Settings):
    """How one deployment is scaled and placed. CPU shares are reservations, not limits."""

    num_replicas: int = Field(1, ge=1)
    autoscaling: Autoscaling | None = None  # replaces num_replicas; every request goes Ray's slower way then
    max_ongoing_requests: int = Field(64, ge=1)  # at a replica; of a stage that is called directly, by each ingress
    max_queued_requests: int = Field(-1, ge=-1)  # of one caller, when all replicas are busy; -1: any number
    num_cpus: float = Field(0.1, ge=0)
    num_gpus: float = Field(0, ge=0)
    resources: dict[str, float] = {}
    env: dict[str, str] = {}
    max_surge_percent: int = Field(0, ge=0, le=100)
    graceful_shutdown_timeout_s: float = Field(20, gt=0)
    health_check_period_s: float = Field(10, gt=0)  # three failures in a row replace a replica
    health_check_timeout_s: float = Field(30, gt=0)
    access_log: bool = False  # a line a call in Ray's log of the replica, which costs about a twentieth of a small one

    @property
    def seen_by_ray(self) -> bool:
        """Whether Ray must see each request: its autoscaler counts them, its log tells of them."""
        return self.autoscaling is not None or self.access_log


class StoreConfig(Settings):
    """Where the one database lies: an SQLAlchemy URL."""

    url: str = "sqlite:///.attune/attune.db"
    max_group_commit: int = Field(1000, ge=1)


class ClockConfig(Settings):
    """`data` runs from the newest imported event; `auto` takes it when that event is over 30 days old."""

    mode: Literal["auto", "wall", "data"] = "auto"
    quantum_s: float = Field(300, gt=0)  # features read the time in steps of this size, so equal requests are equal
    base: float | None = None  # unix seconds at `started_at`; filled in once per start, so that all replicas agree
    started_at: float | None = None


class Limits(Settings):
    """Bounds of the public surface."""

    max_count: int = Field(100, ge=1)
    max_batch_users: int = Field(256, ge=1)
    max_events: int = Field(1000, ge=1)
    max_items: int = Field(1000, ge=1)
    max_excluded: int = Field(10_000, ge=1)
    max_ranked: int = Field(500, ge=1)  # candidates of one /v1/rank
    max_boosters: int = Field(10, ge=0, le=50)
    max_history: int = Field(1000, ge=0)  # acts told with one request
    max_body_bytes: int = Field(8 * 2**20, ge=1)
    permits: int = Field(256, ge=1)  # requests in flight per ingress replica; more are answered 429
    write_permits: int = Field(512, ge=1)  # the same for writes, and for reads of users and items
    default_timeout_ms: int = Field(10_000, ge=1)
    max_timeout_ms: int = Field(60_000, ge=1)


class Batching(Settings):
    """How requests become batches at an ingress."""

    max_batch_size: int = Field(64, ge=1)
    max_in_flight: int = Field(2, ge=1)  # batches an ingress replica may have under way at once


class Retrieval(Settings):
    """How many candidates reach the reranker, and how fresh the items are that they come from."""

    candidates: int | None = Field(None, ge=1)  # None: as many as the release's retriever says
    follow_interval_s: float = Field(0.2, gt=0, le=0.5)  # how often replicas ask for new items and events


class Paging(Settings):
    """The pages after the first: a reply keeps its ranking in the store, so that any ingress replica can go on.

    That is about 2 kB a reply for 200 items, held for `keep_s`.
    """

    depth: int = Field(200, ge=0)  # items ranked and kept, at most as many as there are candidates; 0: no next page
    keep_s: float = Field(1800, gt=0)


class GenerationConfig(Settings):
    """Text: the engine behind it and what a request may ask of it."""

    enabled: bool = True
    engine: EngineConfig = EngineConfig()
    constrain_title: bool = False  # the engine can write no other title than the item's; each text costs a grammar
    max_tokens: int = Field(96, ge=1, le=1024)
    max_texts: int = Field(400, ge=1)  # of one request: items times `candidates`
    text_score_weight: float = Field(
        0.1, ge=0
    )  # of a text's score (0 to 1) in the order of a list, beside the item's own
    default_language: Literal["auto", "en", "zh"] = "auto"
    # Whose texts are written with which adapter (`attune adapt`): a domain, or "tenant:" and the digest of a caller's
    # key, to NAME (its newest version, taken up as it is registered) or NAME/VERSION. A tenant's comes first.
    adapters: dict[
        str, Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,47}(/[A-Za-z0-9._-]{1,64})?$")]
    ] = {}
    stream_interval_ms: float = Field(40, ge=0, le=1000)  # tokens of so long travel together, the first at once
    completion_timeout_ms: int = Field(600_000, ge=1)  # of the OpenAI routes, where the caller sets the length


class EvaluationConfig(Settings):
    """`as_of` and evaluations are accepted only here enabled.

    Over validation events only by a release trained `until` before them.
    """

    enabled: bool = False
    max_rows: int = Field(20_000, ge=1)  # users of one evaluation
    concurrency: int = Field(8, ge=1)  # of them at once: what is left of each batch is for live requests
    max_waiting: int = Field(4, ge=0)  # evaluations that wait at an ingress replica; more are answered 429


class ExplorationConfig(Settings):
    """Places of a list that chance fills, so that the impression log can answer what another ranking would have earned.

    Epsilon-greedy alone: of Thompson sampling no exact propensity can be logged (see `ranking.exploration`).
    """

    enabled: bool = False
    kind: Literal["epsilon"] = "epsilon"
    epsilon: float = Field(0.1, gt=0, le=1)  # chance that a place is drawn
    tail_start: int = Field(3, ge=0)  # so many places at the head of a list are never drawn
    depth: int = Field(50, ge=2)  # draws are from the best so many candidates


class UserModels(Settings):
    """Models of your own: folders with a config file, each served in a deployment of its own."""

    url: str = ""  # of the folder that holds them, anything fsspec reads; "": the repository
    deployments: dict[str, DeploymentConfig] = {}  # by model; without one, as many replicas as `instance_group` says


class ServerConfig(Settings):
    """One server."""

    store: StoreConfig = StoreConfig()
    repository: str = ".attune/models"
    release: str = "latest"
    clock: ClockConfig = ClockConfig()
    limits: Limits = Limits()
    batching: Batching = Batching()
    retrieval: Retrieval = Retrieval()
    paging: Paging = Paging()
    generation: GenerationConfig = GenerationConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    exploration: ExplorationConfig = ExplorationConfig()
    deployments: dict[
        Literal["ingress", "store", "interest", "retriever", "reranker", "encoder", "generator"], DeploymentConfig
    ] = {}
    user_models: UserModels = UserModels()

    @property
    def models_url(self) -> str:
        """Where the models of the user's own are."""
        return self.user_models.url or self.repository

    @model_validator(mode="after")
    def _one_writer(self) -> "ServerConfig":
        store = self.deployment("store")
        if self.store.url.startswith("sqlite") and (store.num_replicas != 1 or store.autoscaling is not None):
            raise ValueError(
                f"deployments.store.num_replicas={store.num_replicas}: SQLite has one writer; use PostgreSQL for more"
            )
        return self

    def deployment(self, name: str) -> DeploymentConfig:
        return self.deployments.get(name, DeploymentConfig())  # type: ignore[call-overload, no-any-return]


class HttpConfig(Settings):
    """Where the ingress listens."""

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    request_timeout_s: float | None = Field(None, gt=0)  # Ray's own; a request's deadline is in `limits`
    grpc_port: int = Field(0, ge=0, le=65535)  # of the Open Inference Protocol; 0: the next after `port`, or a free one

    def on_port(self, port: int) -> "HttpConfig":
        """The same on another port, gRPC beside it: the file's own gRPC port belongs to the file's own port."""
        return self.model_copy(update={"port": port, "grpc_port": self.grpc_port if port == self.port else 0})


class GrpcOptions(Settings):
    """`grpc_options` of a Serve config file: the servicer is Ray's to import, on a cluster."""

    port: int = Field(0, ge=0, le=65535)
    grpc_servicer_functions: list[str] = []


def parse_config(raw: Any, source: str) -> ServerConfig:
    """A checked config; raises `InvalidConfig` naming the source, each bad key and what is wrong with it."""
    try:
        return ServerConfig.model_validate(raw)
    except ValidationError as error:
        raise InvalidConfig(f"{source}: {describe(error)}") from error


def describe(error: ValidationError) -> str:
    """Each problem as `key: what is wrong`, joined by semicolons."""
    return "; ".join(f"{'.'.join(map(str, item['loc'])) or '(root)'}: {item['msg']}" for item in error.errors())


def read_serve_config(path: Path) -> tuple[HttpConfig, dict[str, Any]]:
    """The `http_options` and the application's `args` of a Ray Serve config file.

    Errors: `InvalidConfig` for a file that cannot be read, is no YAML mapping, or has not exactly one application.
    """
    try:
        raw = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise InvalidConfig(f"{path}: {error}") from error
    applications = raw.get("applications") if isinstance(raw, dict) else None
    if not isinstance(applications, list) or len(applications) != 1:
        raise InvalidConfig(f"{path}: a Serve config with exactly one application is needed")
    try:
        http = HttpConfig.model_validate(raw.get("http_options") or {})
        grpc = GrpcOptions.model_validate(raw.get("grpc_options") or {})
    except ValidationError as error:
        raise InvalidConfig(
            f"{path}: {'http' if error.title == 'HttpConfig' else 'grpc'}_options.{describe(error)}"
        ) from error
    return http.model_copy(update={"grpc_port": grpc.port}), applications[0].get("args") or {}
