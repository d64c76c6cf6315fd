"""The one clock: wall time for fresh data, the data's own end for historical ones."""

from interest.clock import Clock

DAY_S = 86_400.0
WALL = 1_700_000_000.0


def test_data_older_than_thirty_days_are_served_as_of_their_own_end() -> None:
    clock = Clock.choose("auto", WALL - 31 * DAY_S, WALL)
    assert (clock.mode, clock.base, clock.started_at) == ("data", WALL - 31 * DAY_S, WALL)


def test_fresh_data_and_an_empty_log_are_served_by_the_wall() -> None:
    assert Clock.choose("auto", WALL - 29 * DAY_S, WALL).mode == "wall"
    assert Clock.choose("auto", None, WALL).mode == "wall"


def test_the_data_clock_goes_on_from_the_last_event() -> None:
    clock = Clock(mode="data", base=1_000.0, started_at=WALL, wall=lambda: WALL + 7.5)
    assert clock.now() == 1_007.5


def test_the_wall_clock_is_the_wall() -> None:
    assert Clock(mode="wall", base=0.0, started_at=0.0, wall=lambda: WALL).now() == WALL


def test_a_mode_that_was_asked_for_is_kept_even_for_an_empty_log() -> None:
    assert Clock.choose("wall", 5.0, WALL).mode == "wall"
    clock = Clock.choose("data", None, WALL)
    assert (clock.mode, clock.base) == ("data", WALL)


def test_instants_are_floored_to_the_quantum() -> None:
    clock = Clock(mode="wall", base=0.0, started_at=0.0, quantum_s=300.0)
    assert [clock.quantised(at) for at in (0.0, 299.9, 300.0, 899.0)] == [0.0, 0.0, 300.0, 600.0]
