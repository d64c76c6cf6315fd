"""Which kind of index holds how many items, and what it must reach before it is used."""

from dataclasses import dataclass
from pathlib import Path

from interest.errors import InvalidConfig

FLAT, IVF, PQ, HNSW = "flat", "ivf", "ivf_pq", "hnsw"
KINDS = (FLAT, IVF, PQ, HNSW)
FLOAT_BYTES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexSettings:
    """The kind goes by the number of items unless `kind` names one. Raises `InvalidConfig` for values out of range.

    flat: every vector is compared, nothing is missed. ivf: the vectors of the nearest cells. ivf_pq: the codes of the
    nearest cells, 1/16 of the vectors' size, then the vectors of the best codes. hnsw: a graph, never chosen by size
    because building it takes far longer than the others.
    """

    kind: str | None = None
    flat_below: int = 50_000  # items: a scan of fewer takes about 2 ms of one core at 256 dimensions
    codes_from: int = 100_000  # items: from here on codes are searched 3 times as fast as vectors, for 6 % of memory
    memory_bytes: int | None = None  # vectors that need more than this are kept in a file and mapped, beside codes
    spill_folder: Path | None = None  # where that file lies; None: the system's folder for temporary files
    target_recall: float = 0.98  # of the exact best 100, that an approximate kind must reach on held-out queries
    tuning_queries: int = 256
    delta_rows: int = 1_024  # newest rows that are scanned, not indexed, before a flat index is merged
    large_delta_rows: int = 10_000  # the same for the other kinds, which are merged in the background
    scan_share: float = 0.05  # below this share of eligible rows an exact scan beats the index
    scan_rows: int = 10_000  # so it does up to this many, which it takes about 1 ms to score
    seed: int = 0  # of the samples that cells and codes are learned from

    def __post_init__(self) -> None:
        if self.kind is not None and self.kind not in KINDS:
            raise InvalidConfig(f"index kind {self.kind!r}: must be one of {', '.join(KINDS)}")
        if not 0 < self.target_recall <= 1:
            raise InvalidConfig(f"index target_recall={self.target_recall}: must be above 0 and at most 1")
        if not 0 <= self.scan_share <= 1:
            raise InvalidConfig(f"index scan_share={self.scan_share}: must be 0 to 1")
        if self.tuning_queries < 2:
            raise InvalidConfig(f"index tuning_queries={self.tuning_queries}: must be 2 or more")
        for name in ("flat_below", "codes_from", "delta_rows", "large_delta_rows", "scan_rows"):
            if getattr(self, name) < 0:
                raise InvalidConfig(f"index {name}={getattr(self, name)}: must be 0 or more")

    def kind_for(self, items: int, dims: int) -> str:
        """The kind for so many vectors."""
        if self.kind is not None:
            return self.kind
        if items < self.flat_below:
            return FLAT
        return PQ if items >= self.codes_from or self.spills(items, dims) else IVF

    def spills(self, items: int, dims: int) -> bool:
        """Whether the vectors are kept in a mapped file."""
        return self.memory_bytes is not None and items * dims * FLOAT_BYTES > self.memory_bytes
