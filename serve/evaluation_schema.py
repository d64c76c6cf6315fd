"""Evaluations on the wire: held-out rows in, progress and metrics out."""

from typing import Literal

from pydantic import BaseModel, Field

from serve.schema import UNIX_SECONDS_MAX, Body, Id

State = Literal["queued", "running", "done", "failed"]


class EvaluationRow(Body):
    """One user at one instant, and what turned out to be relevant to them after it."""

    user_id: Id
    as_of: float = Field(ge=0, le=UNIX_SECONDS_MAX)
    relevant_ids: list[Id] = Field(min_length=1, max_length=1000)


class EvaluationRequest(Body):
    k: int = Field(10, ge=1)
    exclude_seen: bool | None = None  # as in a recommendation
    rows: list[EvaluationRow] = Field(min_length=1)


class EvaluationResult(BaseModel):
    """Means over the rows at k; `coverage` is the share of the available items that anybody was shown."""

    precision: float
    recall: float
    f1: float
    ndcg: float
    hit_rate: float
    coverage: float


class EvaluationView(BaseModel):
    """Where an evaluation stands."""

    id: str
    state: State
    done: int  # rows ranked
    total: int  # rows
    k: int
    exclude_seen: bool | None = None
    created_at: float  # unix seconds of the wall clock
    result: EvaluationResult | None = None  # once done
    error: str | None = None  # once failed
    model_versions: dict[str, str]
