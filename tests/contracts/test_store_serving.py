"""What every store must do with what serving keeps for a while: snapshots of rankings, and evaluations."""

import time
from typing import Any

from interest.store.protocol import EvaluationRecord, Snapshot
from tests.contracts.store_cases import Store


def snapshot(recommendation_id: str, **changes: Any) -> Snapshot:
    now = time.time()
    told: dict[str, Any] = {"user_id": "u1", "requested_at": now, "expires_at": now + 60, "body": b"\x00\xff"}
    return Snapshot(recommendation_id=recommendation_id, **{**told, **changes})


def test_a_snapshot_comes_back_as_it_was_kept(store: Store) -> None:
    writer, reader = store
    first, second = snapshot("rec_1"), snapshot("rec_2", body=b"")
    writer.keep_snapshots([first, second])
    assert reader.ranking_snapshot("rec_1") == first
    assert reader.ranking_snapshot("rec_2") == second
    assert reader.ranking_snapshot("rec_3") is None


def test_a_snapshot_that_is_kept_again_stays_the_first(store: Store) -> None:
    writer, reader = store
    first = snapshot("rec_1")
    writer.keep_snapshots([first])
    writer.keep_snapshots([snapshot("rec_1", body=b"another")])
    assert reader.ranking_snapshot("rec_1") == first


def test_keeping_deletes_what_has_expired_and_nothing_else(store: Store) -> None:
    writer, reader = store
    writer.keep_snapshots([snapshot("old", expires_at=time.time() - 1), snapshot("young")])
    assert reader.ranking_snapshot("old") is not None
    writer.keep_snapshots([])
    assert reader.ranking_snapshot("old") is None
    assert reader.ranking_snapshot("young") is not None


def test_an_erasure_takes_the_users_snapshots_along_and_those_on_their_way(store: Store) -> None:
    writer, reader = store
    late = snapshot("late", requested_at=time.time())
    writer.keep_snapshots([snapshot("mine"), snapshot("theirs", user_id="u2")])
    writer.erase_user("u1")
    writer.keep_snapshots([late, snapshot("again", requested_at=time.time() + 1)])
    held = {name: reader.ranking_snapshot(name) is not None for name in ("mine", "theirs", "late", "again")}
    assert held == {"mine": False, "theirs": True, "late": False, "again": True}


def test_an_evaluation_is_held_as_it_was_put_last(store: Store) -> None:
    writer, reader = store
    assert reader.evaluation("eval_1") is None
    writer.put_evaluation(EvaluationRecord(evaluation_id="eval_1", heartbeat_at=1.0, body="{}"))
    newest = EvaluationRecord(evaluation_id="eval_1", heartbeat_at=2.5, body='{"done": 3}')
    writer.put_evaluation(newest)
    writer.put_evaluation(EvaluationRecord(evaluation_id="eval_2", heartbeat_at=1.0, body="{}"))
    assert reader.evaluation("eval_1") == newest
