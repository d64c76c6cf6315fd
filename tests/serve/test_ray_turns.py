"""Whose turn it is to change a model, as all ingress replicas of a cluster read it."""

import pytest
import ray

from serve import ray_models
from serve.config import ServerConfig
from serve.ray_models import ClusterModels
from tests.serve.cluster_texts import Texts


class Cluster:
    """Ingress replicas by the names of their actors, of which some have died."""

    def __init__(self) -> None:
        self.texts: dict[str, Texts] = {}
        self.dead: set[str] = set()

    def replica(self, name: str) -> ClusterModels:
        return ClusterModels(ServerConfig(), name)

    def get_actor(self, name: str, namespace: str) -> None:
        if name in self.dead:
            raise ValueError(name)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    found = Cluster()
    monkeypatch.setattr(ray_models, "ClusterTexts", lambda folder: found.texts.setdefault(folder, Texts()))
    monkeypatch.setattr(ray, "get_actor", found.get_actor)
    return found


async def test_a_turn_is_one_replicas_until_it_gives_it_back(cluster: Cluster) -> None:
    one, other = cluster.replica("one"), cluster.replica("other")
    assert await one.claim("scaler")
    assert not await other.claim("scaler")
    assert await other.claim("another")
    await other.release("scaler")  # it is not theirs to give
    assert not await other.claim("scaler")
    await one.release("scaler")
    assert await other.claim("scaler")


async def test_a_claim_that_ray_sends_twice_is_one(cluster: Cluster) -> None:
    one = cluster.replica("one")
    assert [await one.claim("scaler"), await one.claim("scaler")] == [True, True]


async def test_those_who_died_with_the_turn_are_passed_by_one_after_the_other(cluster: Cluster) -> None:
    replicas = [cluster.replica(name) for name in ("first", "second", "third", "fourth")]
    for number, name in enumerate(("first", "second")):
        assert await replicas[number].claim("scaler")
        assert [await one.claim("scaler") for one in replicas[number + 1 :]] == [False] * (3 - number)
        cluster.dead.add(name)
    assert [await one.claim("scaler") for one in replicas[2:]] == [True, False]
    await replicas[2].release("scaler")
    assert [await one.claim("scaler") for one in reversed(replicas[2:])] == [True, False]


async def test_of_two_who_find_a_dead_one_at_once_one_gets_the_turn(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await cluster.replica("first").claim("scaler")
    cluster.dead.add("first")
    late, quick = cluster.replica("late"), cluster.replica("quick")
    read = late._turn("scaler")  # and then it is slow
    assert await quick.claim("scaler")
    await quick.release("scaler")
    assert await cluster.replica("next").claim("scaler")
    monkeypatch.setattr(late, "_turn", lambda model: read)
    assert not await late.claim("scaler"), "two would have it"
