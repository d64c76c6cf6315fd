"""How effort grows with depth: exact at the points, straight on logarithmic scales between and beyond them."""

import pytest

from ranking.index_curve import Curve


def test_a_curve_passes_through_its_points_and_goes_straight_between_them() -> None:
    curve = Curve((100, 400), (0.1, 0.4))
    assert [curve.at(depth) for depth in (1, 100, 200, 400, 1_600)] == pytest.approx([0.1, 0.1, 0.2, 0.4, 1.6])


def test_one_point_grows_as_it_is_told() -> None:
    assert Curve((100,), (50.0,)).at(10_000) == 50
    assert Curve((100,), (50.0,), growth=0.5).at(10_000) == pytest.approx(500)


def test_a_scaled_curve_keeps_its_limit() -> None:
    assert Curve((1, 2), (0.5, 0.9)).scaled(1.5, most=1.0).efforts == (0.75, 1.0)


def test_a_curve_survives_its_json() -> None:
    curve = Curve((100, 500), (0.1, 0.2), growth=0.3)
    assert Curve.from_json(curve.to_json()) == curve
