"""Learning looks back only: what comes after a window, or on its very edge, moves nothing that is learned in it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import lightgbm
import numpy as np
import pytest
from numpy.testing import assert_array_equal

import ranking.learning
import ranking.training_windows
from interest.catalogue import Catalogue
from interest.events import Event, EventType
from interest.fitting import InterestSettings
from interest.items import Item
from interest.model import InterestModel
from interest.store.open import open_reader, open_writer
from interest.store.protocol import EventColumns
from ranking.features import FEATURES
from ranking.lambdamart import BoosterSettings, RankingData, fit_booster
from ranking.learning import fit_reranker, past_queries
from ranking.offline import all_items, events_of_known_items
from ranking.popularity import Popularity
from ranking.queries import Queries
from ranking.requests import windows
from ranking.synthetic import make_world
from ranking.training_windows import (
    TrainingSettings,
    World,
    fit_interest,
    held_out_windows,
    new_item_windows,
    past_windows,
)

HOUR_S, MINUTE_S = 3_600.0, 60.0
SETTINGS = TrainingSettings(cuts=2, sessions_per_user=2, horizon_s=HOUR_S, negatives=20)

MakeWorld = Callable[[list[Item], list[Event]], World]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[MakeWorld]:
    """Makes a world out of items and events, each in a store of its own."""
    with ExitStack() as stack:

        def world(items: list[Item], events: list[Event]) -> World:
            folder = tmp_path / str(len(list(tmp_path.iterdir())))
            folder.mkdir()
            url = f"sqlite:///{folder / 'attune.db'}"
            writer, reader = open_writer(url), open_reader(url)
            stack.callback(writer.close)
            stack.callback(reader.close)
            writer.put_items(items, None, "")
            writer.append(sorted(events, key=lambda event: event.timestamp))
            catalogue, popularity = Catalogue(), Popularity()
            catalogue.apply(all_items(reader))
            known = events_of_known_items(reader.event_columns(), catalogue.view())
            popularity.append(known)
            ids = reader.user_ids()
            keys = reader.user_keys(ids).tolist()
            return World(reader, catalogue, popularity, known, dict(zip(keys, ids, strict=True)))

        yield world


def silent(done: int, total: int) -> None:
    """Nobody watches."""


def learned(world: World, settings: TrainingSettings = SETTINGS) -> Queries:
    past = past_windows(world, settings, np.random.default_rng(0), silent)
    found = past_queries(world, past, settings, silent)
    assert found is not None
    return found


def first_rows(queries: Queries, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Features and labels of the first `number` queries."""
    rows = int(queries.data.lengths[:number].sum())
    return queries.data.values[:rows], queries.data.labels[:rows]


def without_future(events: list[Event], after: float) -> list[Event]:
    """Every event from then on becomes an impression: no request comes of it, no item is wanted."""
    return [
        replace(event, type=EventType.IMPRESSION, value=None) if event.timestamp >= after else event for event in events
    ]


@pytest.mark.thorough
def test_what_happens_after_a_window_changes_neither_its_features_nor_its_labels(
    make: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make_world(np.random.default_rng(3), items_per_domain=20, users=60, events=3_000)
    whole = make(made.items, made.events)
    (_, end), _ = windows(whole.events, SETTINGS.cuts, SETTINGS.log_share)
    altered = make(made.items, without_future(made.events, end + SETTINGS.horizon_s))
    early = learned(altered)
    number = int((early.as_of < end).sum())
    assert 50 <= number < len(learned(whole).as_of)
    for found, expected in zip(first_rows(learned(whole), number), first_rows(early, number), strict=True):
        assert_array_equal(found, expected)

    def leaking(world: World, now: float, settings: InterestSettings, rng: np.random.Generator) -> InterestModel:
        return fit_interest(world, float(world.events.timestamp.max()), settings, rng)

    monkeypatch.setattr(
        ranking.training_windows, "fit_interest", leaking
    )  # the negative control: this test sees a leak
    found, expected = first_rows(learned(whole), number)[0], first_rows(learned(altered), number)[0]
    assert found.shape != expected.shape or not np.array_equal(found, expected, equal_nan=True)


@pytest.mark.parametrize("again", [False, True])
def test_where_nobody_wants_anything_again_hardly_any_request_is_asked_with_repeats(
    make: MakeWorld, again: bool
) -> None:
    """Three batches of requests of 130 users who like one item and then, ten days later, another or the same one."""
    items = [Item(item_id=f"i{number}", title=f"title {number}") for number in range(40)]
    events = [
        Event(
            event_id=f"e{user}-{visit}",
            type=EventType.LIKE,
            user_id=f"u{user}",
            item_id=f"i{(user + (0 if again else visit)) % 40}",
            timestamp=visit * 240 * HOUR_S + user * MINUTE_S,
        )
        for user in range(130)
        for visit in range(2)
    ]
    found = learned(make(items, events), replace(SETTINGS, cuts=1, log_share=0.5, newcomer_share=0.0))
    asked_with_repeats = int((~found.new_only).sum())
    assert asked_with_repeats == (130 if again else 64)
    kept = np.repeat(found.new_only, found.data.lengths)[found.data.labels == 0].sum()
    assert kept == (0 if again else 64 * 20 + 66 * 38)  # 38: neither theirs nor the wanted one


def test_an_invoice_on_the_edge_of_a_window_is_not_in_the_model_of_the_requests_before_it(make: MakeWorld) -> None:
    items = [Item(item_id=name, title=name) for name in ("old", "other", "edge")]
    edge = 1_000 * HOUR_S
    rows = [(f"u{user}", name, user * MINUTE_S) for user in range(60) for name in ("old", "other")]
    rows += [(f"u{user}", "edge", edge) for user in range(60)]  # one invoice each, all within one minute
    rows += [(f"late{user}", "old", edge + HOUR_S) for user in range(40)]
    events = [
        Event(event_id=f"e{number}", type=EventType.PURCHASE, user_id=user, item_id=item_id, timestamp=at)
        for number, (user, item_id, at) in enumerate(rows)
    ]
    world = make(items, events)
    settings = replace(SETTINGS, cuts=1, log_share=0.4)
    assert windows(world.events, settings.cuts, settings.log_share)[0][0] == edge
    found = learned(world, settings)
    wanted = found.data.values[found.data.labels > 0]
    assert len(wanted) >= 60
    assert np.isnan(wanted[:, FEATURES.index("source_together")]).all()
    others = found.data.values[found.data.labels == 0]
    assert not np.isnan(others[:, FEATURES.index("source_together")]).all()


@pytest.mark.thorough
def test_held_out_sessions_and_what_their_user_did_later_are_not_in_the_model_of_their_requests(
    make: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make_world(np.random.default_rng(3), items_per_domain=20, users=60, events=3_000)
    world = make(made.items, made.events)
    seen: list[EventColumns] = []

    def watched(known: World, now: float, settings: InterestSettings, rng: np.random.Generator) -> InterestModel:
        seen.append(known.events)
        return fit_interest(known, now, settings, rng)

    monkeypatch.setattr(ranking.training_windows, "fit_interest", watched)
    settings = replace(SETTINGS, folds=3, threads=1)  # so that `seen` is in the order of the folds
    folds = held_out_windows(world, settings, np.random.default_rng(0), silent)
    assert len(folds) == len(seen) == 3
    users = np.concatenate([fold.requests.user_key for fold in folds])
    assert len(users) > len(np.unique(users)) > 30
    assert sum(len(np.unique(fold.requests.user_key)) for fold in folds) == len(np.unique(users)), "one fold a user"
    for fold, known in zip(folds, seen, strict=True):
        for user, as_of in zip(fold.requests.user_key.tolist(), fold.requests.as_of.tolist(), strict=True):
            of_user = world.events.where(world.events.user_key == user)
            held = of_user.seq[of_user.timestamp > as_of]
            assert len(held)
            assert not np.isin(known.seq, held).any()
        others = ~np.isin(world.events.user_key, fold.requests.user_key)
        assert np.isin(world.events.seq[others], known.seq).all()


def test_of_new_items_neither_model_nor_popularity_nor_neighbours_know_anything(make: MakeWorld) -> None:
    made = make_world(np.random.default_rng(3), items_per_domain=80, users=120, events=4_000)
    world = make(made.items, made.events)
    settings = replace(SETTINGS, new_item_share=0.5, horizon_s=480 * HOUR_S)
    found = new_item_windows(world, settings, np.random.default_rng(0), silent)
    assert len(found) == settings.cuts
    view = world.catalogue.view()
    for window in found:
        known = {view.row_of_id(item_id) for item_id in window.model.item_ids}
        assert len(window.hidden) > 20
        assert not known & set(view.rows(window.hidden).tolist())
        assert np.isin(window.requests.wanted, window.hidden).all()
    queries = past_queries(world, found, settings, silent)
    assert queries is not None
    assert (queries.data.labels > 0).any()
    values = queries.data.values
    assert (values[:, FEATURES.index("popularity_all")] == 0).all()
    assert np.isnan(values[:, FEATURES.index("item_users")]).all()
    assert np.isnan(values[:, FEATURES.index("near_text")]).all()
    assert (values[:, FEATURES.index("own_acts")] == 0).all()


def test_without_events_nobody_is_held_out_and_no_item_is_new(make: MakeWorld) -> None:
    world = make([Item(item_id="a", title="a")], [])
    assert held_out_windows(world, SETTINGS, np.random.default_rng(0), silent) == []
    assert new_item_windows(world, SETTINGS, np.random.default_rng(0), silent) == []


def test_the_model_that_is_measured_saw_nothing_of_the_time_it_is_measured_on(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(8)
    count = 400
    values = rng.normal(size=(count * 5, len(FEATURES))).astype(np.float32)
    labels = np.tile(np.array([1, 0, 0, 0, 0], dtype=np.float32), count)
    as_of = np.arange(count, dtype=np.float64) * HOUR_S
    queries = Queries(RankingData(values, labels, np.full(count, 5)), as_of, np.zeros(count, dtype=np.bool_))
    fitted: list[int] = []

    def recorded(train: RankingData, settings: BoosterSettings, seed: int) -> lightgbm.Booster:
        fitted.append(len(train.lengths))
        return fit_booster(train, settings, seed)

    monkeypatch.setattr(ranking.learning, "fit_booster", recorded)
    _, metrics = fit_reranker(queries, BoosterSettings(trees=3, leaves=3), horizon_s=24 * HOUR_S, seed=0)
    first_measured = np.quantile(as_of, 0.75, method="lower")
    assert fitted == [int((as_of + 24 * HOUR_S <= first_measured).sum()), count]
    assert metrics["queries"] == count
    assert 0 < metrics["candidate_ndcg_10_repeat"] <= 1
