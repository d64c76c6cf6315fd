"""The small cache of results."""

from ranking.recent import Recent


def test_the_value_asked_for_longest_ago_is_let_go_first() -> None:
    held: Recent[str, int] = Recent(2)
    held.put("a", 1)
    held.put("b", 2)
    assert held.get("a") == 1
    held.put("c", 3)
    assert held.get("b") is None
    assert held.get("a") == 1
    assert len(held) == 2


def test_a_held_value_is_not_made_again() -> None:
    held: Recent[str, int] = Recent(2)
    assert held.get_or_make("a", lambda: 1) == 1
    assert held.get_or_make("a", lambda: 2) == 1
