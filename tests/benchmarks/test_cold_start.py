"""Cold items are held out of the interactions and stay in the catalogue; declared interests are those most frequent."""

from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
from numpy.testing import assert_array_equal

from benchmarks.quality.cold_items import MARK, SHARE, _only_cold, cold_ids, write_cold_folder
from benchmarks.quality.cold_users import _frequent, _latest, declare
from interest.catalogue import Catalogue
from interest.events import Event, EventType, Facet
from interest.items import Item
from interest.profile import declared_interests
from interest.store.open import open_reader, open_writer
from interest.store.protocol import ItemChange
from ranking.baselines.data import Interactions, requests_of
from ranking.baselines.folder import numbered
from ranking.data_folder import find_mapping
from ranking.tasks import Acts, Task


def event(item_id: str, timestamp: float) -> Event:
    return Event(event_id=item_id, type=EventType.RATING, user_id="u", item_id=item_id, timestamp=timestamp)


def films(folder: Path) -> Path:
    """60 films, each rated once, and one that nobody rated."""
    folder.mkdir()
    ids = [f"{film:03}" for film in range(60)]
    ratings = {"user_id": list(range(60)), "item_id": ids, "rating": [5] * 60, "timestamp": list(range(60))}
    for name in ("train", "validation"):
        pyarrow.parquet.write_table(pyarrow.table(ratings), folder / f"{name}.parquet")
    items = {"item_id": [*ids, "new"], "title": ["film"] * 61, "year": [2000] * 61, "genres": ["Drama"] * 61}
    pyarrow.parquet.write_table(pyarrow.table(items), folder / "items.parquet")
    return folder


def test_a_share_of_the_items_loses_its_interactions_and_is_marked_where_no_model_looks(tmp_path: Path) -> None:
    data = films(tmp_path / "films")
    folder = write_cold_folder(data, tmp_path / "cold" / "films")
    items = pyarrow.parquet.read_table(folder / "items.parquet").to_pydict()
    cold = {item_id for item_id, mark in zip(items["item_id"], items[MARK], strict=True) if mark == "yes"}
    assert len(cold) == round(SHARE * 60) == 3
    assert len(items["item_id"]) == 61
    trained = set(pyarrow.parquet.read_table(folder / "train.parquet")["item_id"].to_pylist())
    assert trained == set(items["item_id"]) - cold - {"new"}
    assert pyarrow.parquet.read_table(folder / "validation.parquet").num_rows == 60
    found = find_mapping(folder)
    assert found is not None
    assert found[1].items.attributes[MARK] == MARK
    assert found[1].events == find_mapping(data)[1].events  # type: ignore[index]


def test_which_items_are_cold_depends_on_their_ids_alone() -> None:
    ids = [str(number) for number in range(200)]
    assert cold_ids(ids) == cold_ids(ids[::-1])
    assert len(cold_ids(ids)) == 10


def test_only_users_who_wanted_a_cold_item_are_asked_for() -> None:
    task = Task("new", ("u", "v"), np.array([1.0, 2.0]), np.array([0, 2, 3]), ("a", "b", "a"), True)
    only = _only_cold(task, {"b"})
    assert (only.user_ids, only.relevant_ids) == (("u",), ("b",))
    assert_array_equal(only.relevant_offsets, [0, 1])


def test_declared_are_the_facets_with_the_greatest_weight_over_the_users_items() -> None:
    catalogue = Catalogue()
    items = [
        Item(item_id="1", title="lamp", categories=("home",), tags=("red",)),
        Item(item_id="2", title="lamp shade", categories=("home",)),
        Item(item_id="3", title="boat", categories=("sea",)),
    ]
    catalogue.apply([ItemChange(n + 1, n, item.item_id, item, None, "") for n, item in enumerate(items)])
    found = _frequent([event("1", 2.0), event("2", 1.0), event("1", 0.0)], catalogue.view())
    assert found[:3] == [
        (Facet("category", "home"), 1.0),
        (Facet("keyword", "lamp"), 0.5),
        (Facet("tag", "red"), 0.4),
    ]
    assert Facet("category", "sea") not in dict(found)


def test_strangers_declare_at_the_instant_they_are_asked_for_and_not_at_the_end_of_the_data(tmp_path: Path) -> None:
    seen, later = [event(f"{film:03}", float(film)) for film in range(6)], event("006", 50.0)
    folder = films(tmp_path / "films")
    rows = {"user_id": ["u"], "item_id": [later.item_id], "rating": [5], "timestamp": [int(later.timestamp)]}
    pyarrow.parquet.write_table(pyarrow.table(rows), folder / "validation.parquet")
    rows = {
        "user_id": ["u"] * 6,
        "item_id": [one.item_id for one in seen],
        "rating": [5] * 6,
        "timestamp": [int(one.timestamp) for one in seen],
    }
    pyarrow.parquet.write_table(pyarrow.table(rows), folder / "train.parquet")
    url = f"sqlite:///{tmp_path / 'attune.db'}"
    with closing(open_writer(url)) as writer:
        writer.put_items([Item(item_id=f"{film:03}", title="", tags=("sea",)) for film in range(7)], None, "")
        writer.append([*seen, event("006", 99.0)])
    declare(folder, tmp_path)
    with closing(open_reader(url)) as reader:
        before, asked = reader.profiles_as_of(["cold-0-u"] * 2, [48.0, 49.0])
    assert declared_interests(before) == {}
    assert declared_interests(asked) == {Facet("tag", "sea"): 1.0}


def test_a_cold_user_is_a_stranger_with_only_the_latest_events() -> None:
    acts = Acts(np.array(["u"] * 3), np.array(["a", "b", "c"]), np.array([1.0, 2.0, 3.0]))
    numbers = numbered(acts, np.inf, ["a", "b", "c"], ["a", "b", "c"], np.zeros((0, 0), dtype=np.float32))
    whole = requests_of(np.array([0]), np.array([9.0]), numbers.world.live, exclude_seen=True)
    latest = _latest(whole, numbers, [[event("c", 3.0), event("b", 2.0), event("a", 1.0)]], 2)
    assert isinstance(latest.history, Interactions)
    assert_array_equal(latest.history.item, [1, 2])
    assert_array_equal(latest.user, [-1])
