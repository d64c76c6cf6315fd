"""Profiles as bytes: compact, exact, and refused when they are of another format. Round trips: test_fold.py."""

import numpy as np
import pytest

from interest.events import Facet
from interest.fold import FoldEvent, fold
from interest.profile import Declaration, InterestProfile, empty_behaviour, empty_profile
from interest.profile_codec import decode, encode


def test_columns_come_back_with_their_types_and_cannot_be_written() -> None:
    rows = decode("u", encode(fold(empty_profile("u"), [FoldEvent(3, 8, 1e9, 2.5), FoldEvent(1, 0, 2e9)]))).behaviour
    assert [array.dtype for array in (rows.item_key, rows.event_type, rows.count)] == [np.int64, np.int8, np.int32]
    assert (rows.item_key.tolist(), rows.value.tolist(), rows.decayed.shape) == ([1, 3], [0.0, 2.5], (2, 3))
    with pytest.raises(ValueError, match="read-only"):
        rows.value[0] = 1.0


def test_declarations_keywords_and_times_come_back() -> None:
    profile = InterestProfile(
        user_id="u",
        behaviour=empty_behaviour(),
        declared={Facet("tag", "茶"): Declaration(None, 5.0, "r")},
        cleared=(4.0, "q"),
        keywords={"blue": (1.5, 3.0)},
        events=7,
        updated_at=9.5,
    )
    again = decode("u", encode(profile))
    assert (again.declared, again.cleared, again.keywords) == (profile.declared, profile.cleared, profile.keywords)
    assert (again.user_id, again.events, again.updated_at) == ("u", 7, 9.5)


def test_fifty_rows_take_less_than_seventy_bytes_each() -> None:
    profile = fold(empty_profile("u"), [FoldEvent(item, 8, 1e9) for item in range(50)])
    assert len(encode(profile)) < 50 * 70


def test_bytes_of_another_format_are_refused() -> None:
    blob = encode(empty_profile("u"))
    with pytest.raises(AssertionError, match="profile format 9"):
        decode("u", b"\x09" + blob[1:])
