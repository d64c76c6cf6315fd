"""What must hold before a server starts: store, release and split fit together; the clock is set once for all."""

import time
from pathlib import Path

from interest.clock import Clock
from interest.errors import InvalidConfig, InvalidRelease
from interest.store.open import open_reader
from interest.store.protocol import IMPORTED_UNTIL
from ranking.release import UNTIL, ModelRepository, Release
from ranking.retriever_settings import settings_of
from serve.config import ServerConfig


def checked(config: ServerConfig) -> ServerConfig:
    """The config with release, candidates and clock resolved, so that every replica, also a later one, has the same.

    Errors: `InvalidConfig` or `InvalidRelease` naming the value that does not fit.
    """
    release = resolve_release(config)
    repository = ModelRepository(Path(config.repository))
    for name, version in release.models.items():
        repository.open_version(name, version)  # verifies every checksum and shape
    candidates = config.retrieval.candidates or settings_of(repository, release).candidates
    reader = open_reader(config.store.url)
    try:
        split = reader.get_meta("split")
        if split == "all" and config.evaluation.enabled and release.details.get(UNTIL) is None:
            raise InvalidConfig(
                f"evaluation.enabled: the store was loaded with SPLIT=all, validation events included, and release "
                f"{release.name} was fitted on all of them (attune train --until UNIX_SECONDS makes one that was not)"
            )
        clock = _clock(config, reader.get_meta(IMPORTED_UNTIL))
    finally:
        reader.close()
    return config.model_copy(
        update={
            "release": release.name,
            "retrieval": config.retrieval.model_copy(update={"candidates": candidates}),
            "clock": config.clock.model_copy(
                update={"mode": clock.mode, "base": clock.base, "started_at": clock.started_at}
            ),
        }
    )


def resolve_release(config: ServerConfig) -> Release:
    """The release that the config names; `latest` is the newest one in the repository."""
    repository = ModelRepository(Path(config.repository))
    if config.release != "latest":
        return repository.read_release(config.release)
    latest = repository.latest()
    if latest is None:
        raise InvalidRelease(f"{config.repository}: no release; `attune train` makes one")
    return latest


def clock_of(config: ServerConfig) -> Clock:
    """The one clock of a checked config."""
    clock = config.clock
    if clock.mode == "auto" or clock.base is None or clock.started_at is None:
        raise InvalidConfig("clock: not resolved; serve.startup.checked does that")
    return Clock(mode=clock.mode, base=clock.base, started_at=clock.started_at, quantum_s=clock.quantum_s)


def candidates_of(config: ServerConfig) -> int:
    """How many candidates each user of a checked config gets."""
    if config.retrieval.candidates is None:
        raise InvalidConfig("retrieval.candidates: not resolved; serve.startup.checked does that")
    return config.retrieval.candidates


def _clock(config: ServerConfig, imported_until: str | None) -> Clock:
    clock = config.clock
    if clock.base is not None and clock.started_at is not None:
        return clock_of(config)
    newest = None if imported_until is None else float(imported_until)
    return Clock.choose(clock.mode, newest, time.time(), quantum_s=clock.quantum_s)


def model_versions(release: Release, llm: str, prompt: str) -> dict[str, str]:
    """What a reply says about the models behind it; "none" where the release has no model and a fixed rule serves."""
    models = release.models
    return {
        "release": release.name,
        "interest": models.get("interest", "none"),
        "index": models.get("retriever", "none"),
        "reranker": models.get("reranker", "none"),
        "llm": llm,
        "prompt": prompt,
    }
