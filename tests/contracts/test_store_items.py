"""What every store must do with items, impressions and settings, whatever database is behind it."""

from pathlib import Path

import numpy as np

from interest.items import Item
from interest.store.protocol import PutResult, StoreReader
from tests.contracts.store_cases import (
    NOON,
    Store,
    edit,
    event,
    item,
    open_sqlite,
    shown,
)


def test_an_item_comes_back_as_it_was_put(store: Store) -> None:
    writer, reader = store
    full = Item(
        item_id="i1",
        title="茶杯",
        domain="e-commerce",
        language="zh",
        categories=("kitchen",),
        tags=("tea", "cup"),
        text="A cup.",
        price=4.5,
        created_at=NOON,
        available=False,
        attributes={"colour": "blue"},
    )
    seq = writer.put_items([full], np.array([[1.0, 2.0]], dtype=np.float32), "minilm").seq
    (change,) = reader.item_changes(0, encoder="minilm")
    assert (change.seq, change.item_id, change.item, change.encoder) == (seq, "i1", full, "minilm")
    assert change.embedding is not None
    assert change.embedding.tolist() == [1.0, 2.0]
    assert reader.counts()["items"] == 1


def test_items_get_ascending_numbers_and_pages_may_end_anywhere(store: Store) -> None:
    writer, reader = store
    seq = writer.put_items([item(f"i{number}") for number in range(5)], None, "").seq
    pages = []
    after = 0
    while page := reader.item_changes(after, limit=2):
        pages.append([change.item_id for change in page])
        after = page[-1].seq
    assert pages == [["i0", "i1"], ["i2", "i3"], ["i4"]]
    assert after == seq == reader.log_seq()


def test_an_unchanged_item_keeps_its_number(store: Store) -> None:
    writer, reader = store
    vectors = np.ones((2, 3), dtype=np.float32)
    seq = writer.put_items([item("i1"), item("i2")], vectors, "minilm").seq
    assert writer.put_items([item("i1"), item("i2")], vectors, "minilm") == PutResult(0, seq)
    assert writer.put_items([item("i1")], None, "") == PutResult(0, seq)
    writer.put_items([item("i1", price=3.0)], None, "")
    assert [change.item_id for change in reader.item_changes(seq)] == ["i1"]


def test_a_write_counts_the_items_that_it_changed_itself(store: Store) -> None:
    writer, _ = store
    assert writer.put_items([item("i1"), item("i2"), item("i2")], None, "").changed == 2
    writer.append([event("e1"), event("e2")])
    assert writer.put_items([item("i1"), item("i2", price=3.0), item("i3")], None, "").changed == 2
    writer.delete_items(["i1"])
    assert writer.put_items([item("i1"), item("i3")], None, "").changed == 1
    assert writer.put_items([], None, "").changed == 0


def test_an_embedding_goes_with_its_content(store: Store) -> None:
    writer, reader = store
    writer.put_items([item()], np.ones((1, 3), dtype=np.float32), "minilm")
    writer.put_items([item(price=3.0)], None, "")
    assert reader.item_changes(0, encoder="minilm")[0].embedding is not None
    assert reader.item_changes(0, encoder="ngram")[0].embedding is None
    writer.put_items([item(title="Another")], None, "")
    (change,) = reader.item_changes(0, encoder="minilm")
    assert (change.embedding, change.encoder) == (None, "")


def test_of_two_versions_of_an_item_in_one_call_the_last_counts(store: Store) -> None:
    writer, reader = store
    writer.put_items([item(title="old"), item(title="new")], None, "")
    (change,) = reader.item_changes(0)
    assert change.item == item(title="new")


def test_a_deleted_item_is_a_change_without_an_item_and_may_come_back(store: Store) -> None:
    writer, reader = store
    seq = writer.put_items([item()], None, "").seq
    assert writer.delete_items(["i1", "i1", "unknown"]) == 1
    (change,) = reader.item_changes(seq)
    assert (change.item_id, change.item, change.embedding) == ("i1", None, None)
    assert writer.delete_items(["i1"]) == 0
    assert reader.counts()["items"] == 0
    writer.put_items([item()], None, "")
    assert reader.item_changes(change.seq)[0].item == item()
    assert reader.item_changes(0)[0].item_key == change.item_key


def seqs(reader: StoreReader, *item_ids: str) -> list[tuple[str, int]]:
    known = {change.item_id: change.seq for change in reader.item_changes(0)}
    return [(item_id, known[item_id]) for item_id in item_ids]


def test_embeddings_are_attached_to_items_that_are_still_as_they_were_encoded(store: Store) -> None:
    writer, reader = store
    seq = writer.put_items([item("i1"), item("i2"), item("i3"), item("i4")], None, "").seq
    encoded = seqs(reader, "i2", "i1", "i3", "i4")
    writer.delete_items(["i3"])
    writer.put_items([item("i4", title="Another")], None, "")
    vectors = np.arange(8, dtype=np.float32).reshape(4, 2)
    again = writer.set_embeddings(encoded, vectors, "ngram")
    found = {change.item_id: change for change in reader.item_changes(seq, encoder="ngram")}
    assert found["i2"].embedding is not None
    assert found["i2"].embedding.tolist() == [0.0, 1.0]
    assert (found["i1"].encoder, found["i3"].embedding, found["i4"].embedding) == ("ngram", None, None)
    assert writer.set_embeddings(seqs(reader, "i2", "i1"), vectors[:2], "ngram") == again
    assert writer.set_embeddings([("unknown", 1)], vectors[:1], "ngram") == again


def test_the_embeddings_of_one_encoder_leave_those_of_another_alone(store: Store) -> None:
    writer, reader = store
    writer.put_items([item()], np.zeros((1, 2), dtype=np.float32), "old")
    writer.set_embeddings(seqs(reader, "i1"), np.ones((1, 3), dtype=np.float32), "new")
    for encoder, expected in (("old", [0.0, 0.0]), ("new", [1.0, 1.0, 1.0])):
        (change,) = reader.item_changes(0, encoder=encoder)
        assert change.embedding is not None
        assert change.embedding.tolist() == expected
    assert writer.keep_embeddings(["new"]) == 1
    assert [change.encoder for change in reader.item_changes(0, encoder="old")] == [""]
    assert [change.encoder for change in reader.item_changes(0, encoder="new")] == ["new"]


def test_items_without_an_embedding_are_found_whatever_took_it(store: Store) -> None:
    writer, reader = store
    writer.put_items([item("i1"), item("i2"), item("i3")], np.ones((3, 2), dtype=np.float32), "ngram")
    writer.put_items([item("i4")], None, "")
    writer.put_items([item("i2", title="Another")], None, "")
    writer.delete_items(["i3"])
    assert [change.item_id for change in reader.items_without_embedding("ngram", 10)] == ["i2", "i4"]
    assert [change.item_id for change in reader.items_without_embedding("ngram", 1)] == ["i2"]
    assert len(reader.items_without_embedding("other", 10)) == 3


def test_impressions_come_back_by_position_and_once(store: Store) -> None:
    writer, reader = store
    writer.log_impressions([shown(1, text="文字", source="model"), shown(0)])
    writer.log_impressions([shown(0)])
    writer.log_impressions([])
    assert reader.impressions_of("rec_1") == [shown(0), shown(1, text="文字", source="model")]
    assert reader.impressions_of("unknown") == []
    assert reader.counts() == {"items": 0, "users": 0, "events": 0, "impressions": 2}


def test_texts_that_a_model_wrote_come_with_what_they_were_written_from(store: Store) -> None:
    writer, reader = store
    told = shown(1, text="文字", source="model", origin='["海"]')
    early = shown(2, text="Tea.", source="model", origin="[]", timestamp=NOON - 1)
    writer.log_impressions([told, early, shown(0, text="Jazz.", source="template")])
    writer.log_impressions([told])
    assert reader.texts_since(NOON) == [told]
    assert reader.texts_since(NOON - 1) == [early, told]


def test_a_pseudonym_is_the_same_for_one_user_and_another_in_every_database(store: Store, tmp_path: Path) -> None:
    _, reader = store
    _, other = open_sqlite(tmp_path / "other")
    found = reader.pseudonym("u1")
    assert (len(found), found) == (32, reader.pseudonym("u1"))
    assert found not in (reader.pseudonym("u2"), other.pseudonym("u1"))


def test_the_wanted_release_is_a_change_of_the_log(store: Store) -> None:
    writer, reader = store
    assert reader.wanted_release() is None
    seq = writer.set_wanted_release("r1")
    assert (reader.wanted_release(), reader.log_seq()) == ("r1", seq)
    assert writer.set_wanted_release("r1") == seq
    assert writer.set_wanted_release("r2") == seq + 1


def test_settings_are_kept_with_the_data(store: Store) -> None:
    writer, reader = store
    assert reader.get_meta("split") is None
    writer.set_meta("split", "train")
    writer.set_meta("split", "all")
    assert reader.get_meta("split") == "all"


def test_all_kinds_of_changes_share_one_ascending_number(store: Store) -> None:
    writer, _ = store
    numbers = [
        writer.append([event("e1")]).seq,
        writer.put_items([item()], None, "").seq,
        writer.append([edit("r1", tea=0.5)]).seq,
        writer.set_wanted_release("r1"),
    ]
    assert numbers == [1, 2, 3, 4]
