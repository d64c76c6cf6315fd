"""The catalogue in memory: rows that never move, views that never change, facets sorted within a row."""

import numpy as np
import pytest

from interest.catalogue import Catalogue, content_vector
from interest.events import Facet
from interest.features import facet_hash
from interest.items import Item
from interest.store.protocol import ItemChange

BOOK = Item(item_id="b", title="A book", domain="education", categories=("books",), price=3.5, created_at=10.0)
LAMP = Item(item_id="l", title="灯", domain="e-commerce", language="zh", tags=("light", "home"))


def change(seq: int, key: int, item_id: str, item: Item | None, embedding: list[float] | None = None) -> ItemChange:
    vector = None if embedding is None else np.array(embedding, dtype=np.float32)
    return ItemChange(seq, key, item_id, item, vector, "small")


def filled() -> Catalogue:
    catalogue = Catalogue(dims=2)
    catalogue.apply([change(1, 7, "b", BOOK, [1, 0]), change(2, 3, "l", LAMP)])
    return catalogue


@pytest.mark.thorough
def test_columns_hold_what_the_items_say() -> None:
    view = filled().view()
    assert len(view) == 2
    assert view.seq == 2
    assert view.keys.tolist() == [7, 3]
    assert view.ids[:2] == ["b", "l"]
    assert view.items[0] is BOOK
    np.testing.assert_array_equal(view.price, [3.5, np.nan])
    np.testing.assert_array_equal(view.created_at, [10.0, np.nan])
    assert view.available.all()
    assert view.domain.tolist() == [view.domain_code("education"), view.domain_code("e-commerce")]
    assert view.language.tolist() == [view.language_code("en"), view.language_code("zh")]
    assert view.content.tolist() == [[1, 0], [0, 0]]


def test_the_main_domain_is_that_of_most_available_items() -> None:
    catalogue = filled()
    assert Catalogue().view().main_domain() == ""
    catalogue.apply([change(3, 1, "c", BOOK)])
    assert catalogue.view().main_domain() == "education"
    catalogue.apply([change(4, 1, "c", None), change(5, 7, "b", None)])
    assert catalogue.view().main_domain() == "e-commerce"


def test_keys_and_ids_lead_to_rows_and_unknown_ones_do_not() -> None:
    view = filled().view()
    assert view.rows(np.array([[3, 7], [4, -1], [100, 7]])).tolist() == [[1, 0], [-1, -1], [-1, 0]]
    assert view.row_of_id("l") == 1
    assert view.row_of_id("nothing") is None
    assert view.domain_code("no such domain") == -1


def test_facets_of_a_row_are_sorted_by_hash_and_have_names() -> None:
    view = filled().view()
    row = slice(view.facet_offsets[1], view.facet_offsets[2])
    hashes = view.facet_hash[row].tolist()
    assert hashes == sorted(hashes)
    assert {facet_hash("tag", "light"), facet_hash("tag", "home")} <= set(hashes)
    assert view.facet_name(facet_hash("tag", "light")) == Facet("tag", "light")
    assert view.facet_name(1) is None
    assert (view.facet_weight[row] > 0).all()


def test_an_item_put_again_keeps_its_row_and_leaves_older_views_alone() -> None:
    catalogue = filled()
    before = catalogue.view()
    catalogue.apply([change(3, 7, "b", Item(item_id="b", title="Another", tags=("new",), price=9.0))])
    after = catalogue.view()
    assert before.price[0] == 3.5
    assert after.price[0] == 9.0
    assert after.keys.tolist() == before.keys.tolist()
    assert facet_hash("tag", "new") in after.facet_hash[: after.facet_offsets[1]]
    assert facet_hash("category", "books") not in after.facet_hash
    assert facet_hash("tag", "light") in after.facet_hash[after.facet_offsets[1] :]
    assert after.version == before.version + 1


def test_a_deleted_item_keeps_its_row_and_loses_everything_else() -> None:
    catalogue = filled()
    catalogue.apply([change(3, 7, "b", None)])
    view = catalogue.view()
    assert not view.available[0]
    assert view.facet_offsets[1] == 0
    assert not view.content[0].any()
    assert view.row_of_id("b") == 0


def test_an_older_view_does_not_know_later_items() -> None:
    catalogue = filled()
    before = catalogue.view()
    catalogue.apply([change(3, 9, "n", Item(item_id="n", title="New"))])
    assert before.rows(np.array([9])).tolist() == [-1]
    assert before.row_of_id("n") is None
    assert catalogue.view().row_of_id("n") == 2


def test_of_several_changes_of_one_item_the_highest_seq_wins() -> None:
    catalogue = Catalogue()
    catalogue.apply([change(5, 1, "b", BOOK), change(4, 1, "b", None)])
    assert catalogue.view().available.tolist() == [True]


def test_embeddings_of_another_width_or_encoder_are_left_out() -> None:
    assert content_vector(change(1, 1, "b", BOOK, [1, 0, 0]), 2, "") is None
    assert content_vector(change(1, 1, "b", BOOK, [1, 0]), 2, "other") is None
    assert content_vector(change(1, 1, "b", None, [1, 0]), 2, "small") is None
    assert content_vector(change(1, 1, "b", BOOK, [1, 0]), 2, "small") is not None


def test_many_small_changes_equal_one_large_one() -> None:
    items = [Item(item_id=str(n), title=f"Thing {n}", tags=(f"t{n % 3}",), price=float(n)) for n in range(40)]
    changes = [change(n + 1, n, items[n].item_id, items[n], [n, 1]) for n in range(40)]
    changes += [change(50 + n, n, items[n].item_id, items[39 - n], [0, n]) for n in range(0, 40, 3)]
    one, many = Catalogue(2), Catalogue(2)
    one.apply(changes)
    for single in changes:
        many.apply([single])
    for name in ("keys", "price", "facet_offsets", "facet_hash", "facet_weight", "content", "row_of_key", "available"):
        np.testing.assert_array_equal(getattr(one.view(), name), getattr(many.view(), name), err_msg=name)


def test_nothing_to_apply_changes_nothing() -> None:
    catalogue = filled()
    view = catalogue.view()
    catalogue.apply([])
    assert catalogue.view() is view
