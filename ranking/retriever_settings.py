"""What a retriever version says: how the sources share a pool of items, and what makes some of it candidates."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from interest.errors import InvalidRelease
from ranking.pool_features import POOL_FEATURES
from ranking.release import ModelRepository, Release
from ranking.sources import DEFAULT_QUOTAS, SOURCES

_FILE, _TREES_FILE = "retriever.json", "pool.txt"


@dataclass(frozen=True, slots=True)
class RetrieverSettings:
    """`quotas`: a share of 0 or more of each of `SOURCES`, one of them above 0; `candidates`: how many for each user.

    `trees`: LightGBM's text of what chooses the candidates from the sources' best `pool` items; without any there is no
    choice and no pool, and the sources' best are the candidates.

    Training makes its queries with the same settings as serving. Raises `InvalidRelease` for any others.
    """

    quotas: Mapping[str, int] = field(default_factory=lambda: dict(DEFAULT_QUOTAS))
    candidates: int = 320
    pool: int = 1_000
    trees: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.quotas, Mapping) or set(self.quotas) != set(SOURCES):
            raise InvalidRelease(f"quotas={self.quotas!r}: must give a share to each of {', '.join(SOURCES)}")
        shares = list(self.quotas.values())
        if not all(_whole(share, 0) for share in shares) or not any(shares):
            raise InvalidRelease(f"quotas={self.quotas!r}: must be whole numbers of 0 or more, one above 0")
        if not _whole(self.candidates, 1):
            raise InvalidRelease(f"candidates={self.candidates!r}: must be a whole number of 1 or more")
        if not _whole(self.pool, 1):
            raise InvalidRelease(f"pool={self.pool!r}: must be a whole number of 1 or more")

    def save(self, folder: Path) -> None:
        settings = {"quotas": dict(self.quotas), "candidates": self.candidates}
        if self.trees:
            settings |= {"pool": self.pool, "features": POOL_FEATURES}
            (folder / _TREES_FILE).write_text(self.trees, "utf-8")
        (folder / _FILE).write_text(json.dumps(settings, indent=1) + "\n", "utf-8")

    @classmethod
    def load(cls, folder: Path) -> "RetrieverSettings":
        """The saved settings. Raises `InvalidRelease` that names the file and what is wrong in it."""
        path = folder / _FILE
        try:
            settings = json.loads(path.read_text("utf-8"))
            if (features := settings.pop("features", None)) is not None:
                if tuple(features) != POOL_FEATURES:
                    raise InvalidRelease(f"features: expected {POOL_FEATURES}, found {features}; run a full training")
                settings["trees"] = (folder / _TREES_FILE).read_text("utf-8")
            return cls(quotas=settings.pop("quotas"), candidates=settings.pop("candidates"), **settings)
        except InvalidRelease as error:
            raise InvalidRelease(f"{path}: {error.message}") from error
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidRelease(
                f"{path}: expected quotas and candidates, found {type(error).__name__}: {error}"
            ) from error


def settings_of(repository: ModelRepository, release: Release) -> RetrieverSettings:
    """The verified settings of the release's retriever, the defaults when it has none. Raises `InvalidRelease`."""
    if "retriever" not in release.models:
        return RetrieverSettings()
    return RetrieverSettings.load(repository.open_version("retriever", release.models["retriever"]).folder)


def _whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
