"""Incremental fitting: sums after new events are those of a full fit on all of them; what does not fit is refused."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from interest.batch import Doubles, Floats
from interest.checkpoint import Checkpoint
from interest.errors import InvalidRelease
from interest.events import EVENT_CODES, EventType
from interest.fitting import InterestSettings, fit_interest_model, together_vectors, user_item_matrix
from interest.incremental import first_checkpoint, fit_incrementally
from interest.low_rank import ease
from interest.model import DAY_S, InterestModel
from interest.next_acts import History, weighted_pairs
from interest.store.protocol import EventColumns
from interest.sums import Sums, next_sums, rows_of

pytestmark = pytest.mark.thorough
END = 1_700_000_000.0
SETTINGS = InterestSettings(rank=8, l2=5.0, together_l2=5.0, horizon_s=20 * DAY_S, fit_half_life_s=90 * DAY_S)
ITEMS = 25
DAYS = 260  # at four half-lives a full fit looks back 360 days: no cut grows too old
TYPES = (EventType.PURCHASE, EventType.VIEW, EventType.DISLIKE, EventType.CLICK)


def make_log(rng: np.random.Generator, users: int = 50, events: int = 2_000, items: int = ITEMS) -> EventColumns:
    """In order of time, with users who come and go, items that appear later, and events of every kind."""
    time = np.sort(rng.uniform(END - DAYS * DAY_S, END, events)).round()
    age = (time - time[0]) / (time[-1] - time[0])
    user = (rng.random(events) * (0.5 + 0.5 * age) * users).astype(np.int64)
    item = (rng.random(events) ** 2 * (0.6 + 0.4 * age) * items).astype(np.int64)
    kind = rng.choice([EVENT_CODES[each] for each in TYPES], events).astype(np.int8)
    return EventColumns(np.arange(1, events + 1), user, item, kind, time, np.full(events, np.nan))


def rows(events: EventColumns, kept: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> EventColumns:
    names = ("seq", "user_key", "item_key", "event_type", "timestamp", "value")
    return EventColumns(*(getattr(events, name)[kept] for name in names))


def until(events: EventColumns, instant: float) -> EventColumns:
    return rows(events, events.timestamp <= instant)


def fitted(
    events: EventColumns, now: float, settings: InterestSettings = SETTINGS, items: int = ITEMS
) -> tuple[InterestModel, Checkpoint]:
    keys = np.arange(items)
    model = fit_interest_model(events, keys, [f"i{key}" for key in keys], now, settings, np.random.default_rng(1))
    return model, first_checkpoint(events, keys, model.weights, now, settings)


def advanced(
    base: tuple[InterestModel, Checkpoint], events: EventColumns, now: float, items: int = ITEMS
) -> tuple[InterestModel, Checkpoint]:
    keys = np.arange(items)
    ids = [f"i{key}" for key in keys]
    return fit_incrementally(base[1], base[0], events, keys, ids, now, np.random.default_rng(1))


def joined(*parts: EventColumns) -> EventColumns:
    names = ("seq", "user_key", "item_key", "event_type", "timestamp", "value")
    return EventColumns(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def product(model: InterestModel, head: int) -> Floats:
    """The item-item weights that one head stands for."""
    width = model.dims // model.heads
    part = slice(head * width, (head + 1) * width)
    found: Floats = model.input_vectors[:, part] @ model.output_vectors[:, part].T
    return found


def dense(sums: Sums) -> dict[str, Doubles]:
    return {name: getattr(sums, name).toarray() for name in ("gram", "target", "together")}


def assert_same_sums(found: Checkpoint, expected: Checkpoint) -> None:
    assert_array_equal(found.item_keys, expected.item_keys)
    for name, matrix in dense(expected.sums).items():
        assert matrix.any()
        assert_allclose(dense(found.sums)[name], matrix, rtol=1e-5, atol=1e-5 * matrix.max(), err_msg=name)


def aligned(steps: int) -> float:
    """An instant from which the cuts of a full fit are those of a full fit at END."""
    return END - steps * SETTINGS.step_s


def expected_at_the_end(events: EventColumns, base: tuple[InterestModel, Checkpoint]) -> Checkpoint:
    """Of a full fit on all of them, with the type weights of the base."""
    return first_checkpoint(events, np.arange(ITEMS), base[0].weights, END, base[1].settings)


def test_the_first_sums_are_those_of_the_cuts_whose_horizon_is_over() -> None:
    events = make_log(np.random.default_rng(0))
    model, checkpoint = fitted(events, END)
    place, items = np.searchsorted(checkpoint.item_keys, events.item_key), len(checkpoint.item_keys)
    history = History.of(events, place, items, END)
    cuts = SETTINGS.cuts(SETTINGS.fit_half_life_s)
    gram, target = np.zeros((items, items)), np.zeros((items, items))
    for cut in np.arange(END - SETTINGS.step_s, events.timestamp.min(), -SETTINGS.step_s):
        if cut + SETTINGS.horizon_s <= END:
            pairs = weighted_pairs(history, model.weights, cut, END, cuts)
            x, y = pairs.before.toarray().astype(np.float64), pairs.after.toarray().astype(np.float64)
            gram, target = gram + x.T @ x, target + x.T @ y
    assert_allclose(checkpoint.sums.gram.toarray(), gram, atol=1e-6)
    assert_allclose(checkpoint.sums.target.toarray(), target, atol=1e-6)
    matrix = user_item_matrix(history, model.weights, END, SETTINGS.together_half_life_s).toarray().astype(np.float64)
    assert_allclose(checkpoint.sums.together.toarray(), matrix.T @ matrix, rtol=1e-6)


@pytest.mark.parametrize("steps", [(6,), (9, 4), (12, 11, 10, 3)])
def test_sums_after_new_events_are_those_of_a_full_fit_on_all_of_them(steps: tuple[int, ...], tmp_path: Path) -> None:
    events = make_log(np.random.default_rng(0))
    base = found = fitted(until(events, aligned(steps[0])), aligned(steps[0]))
    for number, now in enumerate([*map(aligned, steps[1:]), END]):
        folder = tmp_path / str(number)
        folder.mkdir()
        found[1].save(folder)
        found = advanced((found[0], Checkpoint.load(folder, SETTINGS)), until(events, now), now)
    assert len(found[1].item_keys) > len(base[1].item_keys), "items have come in"
    assert_same_sums(found[1], expected_at_the_end(events, base))


def test_the_comparison_tells_one_event_and_one_cut_from_none() -> None:
    events = make_log(np.random.default_rng(0))
    base = fitted(until(events, aligned(6)), aligned(6))
    expected = expected_at_the_end(events, base)
    purchase = np.flatnonzero(events.event_type == EVENT_CODES[EventType.PURCHASE])[-1]
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_same_sums(advanced(base, rows(events, np.arange(len(events.seq)) != purchase), END)[1], expected)
    short = replace(base[1], grid=replace(base[1].grid, last=base[1].grid.last + 1))
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_same_sums(advanced((base[0], short), events, END)[1], expected)
    stale = replace(base[1], now=base[1].now + DAY_S)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_same_sums(advanced((base[0], stale), events, END)[1], expected)


def test_events_that_come_late_count_as_if_they_had_been_there() -> None:
    rng = np.random.default_rng(2)
    events = make_log(rng)
    late = rng.random(len(events.seq)) < 0.03
    order = np.argsort(np.where(late & (events.timestamp < aligned(6)), END, events.timestamp), kind="stable")
    logged = replace(rows(events, order), seq=np.arange(1, len(order) + 1))
    known = np.cumsum(events.timestamp[order] > aligned(6)) == 0
    base = fitted(rows(logged, known), aligned(6))
    assert (logged.timestamp[~known] < aligned(6)).sum() > 20
    assert_same_sums(advanced(base, logged, END)[1], expected_at_the_end(logged, base))


def test_items_that_fall_behind_leave_the_sums_and_others_take_their_place() -> None:
    events = make_log(np.random.default_rng(4))
    settings = replace(SETTINGS, max_items=15)
    base = fitted(until(events, aligned(8)), aligned(8), settings)
    found = advanced(base, events, END)
    assert set(base[1].item_keys.tolist()) - set(found[1].item_keys.tolist())
    assert len(found[1].item_keys) == 15
    assert_same_sums(found[1], expected_at_the_end(events, base))


def test_of_too_many_rows_the_same_share_of_users_is_kept_from_then_on() -> None:
    events = make_log(np.random.default_rng(5))
    settings = replace(SETTINGS, max_rows=200)
    base = fitted(until(events, aligned(6)), aligned(6), settings)
    grid = base[1].grid
    assert 0.1 < grid.share < 0.5
    now = aligned(6)
    history = History.of(events, np.searchsorted(np.arange(ITEMS), events.item_key), ITEMS, now)
    numbers = range(grid.first, 0)
    kept = sum(len(part.user) for part in rows_of(history, base[0].weights, grid, numbers, now, settings))
    assert 150 < kept < 250
    late = replace(rows(events, np.array([3])), seq=np.array([10_000]), item_key=np.array([20]))
    found = advanced(base, joined(events, late), END)
    whole = History.of(joined(events, late), joined(events, late).item_key, ITEMS, END)
    assert_array_equal(found[1].item_keys, np.arange(ITEMS))
    drawn = rows_of(whole, base[0].weights, found[1].grid, range(grid.first, found[1].grid.last + 1), END, settings)
    expected = next_sums(drawn, ITEMS)
    assert_allclose(found[1].sums.gram.toarray(), expected.gram.toarray(), atol=1e-5)
    assert_allclose(found[1].sums.target.toarray(), expected.target.toarray(), atol=1e-5)


def test_the_incremental_model_predicts_what_a_full_one_does() -> None:
    """At full rank, and with one type of event, so that a full fit has no type weights to learn."""
    events = make_log(np.random.default_rng(0))
    bought = replace(events, event_type=np.full(len(events.seq), EVENT_CODES[EventType.PURCHASE], dtype=np.int8))
    settings = replace(SETTINGS, rank=64)
    base = fitted(until(bought, aligned(3)), aligned(3), settings)
    found, expected = advanced(base, bought, END)[0], fitted(bought, END, settings)[0]
    assert found.item_ids == expected.item_ids
    assert found.weights == expected.weights
    for head in range(2):
        assert_allclose(product(found, head), product(expected, head), atol=1e-4)
    assert_array_equal(found.statistics, expected.statistics)
    old = len(base[0].item_ids)
    assert np.abs(product(base[0], 0) - product(expected, 0)[:old, :old]).max() > 1e-2, "there was something to learn"


def test_one_round_from_the_last_vectors_is_worth_more_than_one_from_chance() -> None:
    events = make_log(np.random.default_rng(0), users=200, events=20_000, items=120)
    base = fitted(until(events, aligned(1)), aligned(1), items=120)
    found, checkpoint = advanced(base, events, END, items=120)
    gram = checkpoint.sums.together.toarray()
    weights = ease(gram, SETTINGS.together_l2)

    def left(inputs: Floats, outputs: Floats) -> float:
        """What of the predictions the low rank leaves out."""
        missing = weights - inputs.astype(np.float64) @ outputs.T
        return float(np.sqrt(np.sum(missing * (gram @ missing))))

    warm = left(found.input_vectors[:, 8:], found.output_vectors[:, 8:])
    cold, best = (left(*together_vectors(gram, SETTINGS, rounds, np.random.default_rng(3))) for rounds in (1, 20))
    assert warm - best < 0.7 * (cold - best)


def test_events_gone_from_under_the_checkpoint_are_refused() -> None:
    events = make_log(np.random.default_rng(0))
    base = fitted(until(events, aligned(6)), aligned(6))
    with pytest.raises(InvalidRelease, match="erased or changed since; run a full training"):
        advanced(base, rows(events, events.user_key != events.user_key[0]), END)


def test_a_log_that_ends_before_the_checkpoint_is_refused() -> None:
    events = make_log(np.random.default_rng(0))
    base = fitted(events, END)
    with pytest.raises(InvalidRelease, match="the log ends before it"):
        advanced(base, events, END - DAY_S)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("schema", 0, "schema expected 1, found 0; run a full training"),
        ("event_types", ["view"], "event types expected"),
        ("grid", {}, "expected a checkpoint, found TypeError"),
        ("seq", None, None),
    ],
)
def test_a_checkpoint_of_another_schema_is_refused(
    key: str, value: object, message: str | None, tmp_path: Path
) -> None:
    fitted(make_log(np.random.default_rng(0)), END)[1].save(tmp_path)
    path = tmp_path / "checkpoint.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, key: content[key] if message is None else value}))
    if message is None:
        assert Checkpoint.load(tmp_path, SETTINGS).seq == 2_000
        return
    with pytest.raises(InvalidRelease, match=message):
        Checkpoint.load(tmp_path, SETTINGS)


def test_a_checkpoint_of_other_settings_is_refused_and_says_which(tmp_path: Path) -> None:
    fitted(make_log(np.random.default_rng(0)), END)[1].save(tmp_path)
    with pytest.raises(InvalidRelease, match=r"interest\.l2 expected 6\.0, found 5\.0; run a full training"):
        Checkpoint.load(tmp_path, replace(SETTINGS, l2=6.0))
    with pytest.raises(InvalidRelease, match="expected a checkpoint"):
        Checkpoint.load(tmp_path / "nowhere", SETTINGS)


def test_an_empty_log_has_a_checkpoint_to_go_on_from() -> None:
    events = make_log(np.random.default_rng(0))
    model, checkpoint = advanced(fitted(rows(events, np.arange(0)), 0.0), events, END)
    assert len(model.item_ids) == ITEMS
    matrix = checkpoint.sums.together.toarray()
    assert_allclose(matrix, expected_at_the_end(events, (model, checkpoint)).sums.together.toarray(), atol=1e-5)
