"""Forget-damage curves by hand."""

import pytest

from pipeline.unlearning.damage import Point, area, front, points, remains


def test_what_remains_counts_choice_above_chance_and_cloze():
    assert remains(1.0, 1.0) == 1.0
    assert remains(0.25, 0.0) == 0.0
    assert remains(0.1, 0.0) == 0.0, "below chance is not less than nothing"
    assert remains(0.625, 0.0) == pytest.approx(0.25)


def test_points_of_a_sweep():
    rows = [{"forget_choice": 1.0, "forget_cloze": 0.5, "sibling_drop": -3.0, "other_drop": 8.0}]
    assert points(rows, ["sibling_drop"]) == [Point(0.0, 0.75)], "a gain is no merit"
    assert points(rows, ["sibling_drop", "other_drop"]) == [Point(8.0, 0.75)], "the worst"
    assert points([rows[0] | {"general_drop": None}]) == [Point(8.0, 0.75)], "a world may lack a kind of text"


@pytest.mark.parametrize(
    ("found", "kept"),
    [
        ([], [(0, 1)]),  # the model as it is
        ([(5, 0.5), (10, 0.6)], [(0, 1), (5, 0.5)]),  # more harm for less
        ([(10, 0.2), (5, 0.5)], [(0, 1), (5, 0.5), (10, 0.2)]),  # order does not matter
        ([(0, 0.3)], [(0, 0.3)]),  # free
        ([(5, 0.5), (5, 0.4)], [(0, 1), (5, 0.4)]),  # the better of two at one price
        ([(5, 1.0)], [(0, 1)]),  # harm for nothing
    ],
)
def test_the_front_holds_what_nothing_beats(found, kept):
    assert front(Point(*p) for p in found) == [Point(*p) for p in kept]


def test_the_area_is_the_mean_height_of_the_staircase():
    assert area([], 20) == 1.0
    assert area([Point(5, 0.5), Point(10, 0.0)], 20) == pytest.approx((5 * 1 + 5 * 0.5 + 10 * 0) / 20)
    assert area([Point(0, 0.0)], 20) == 0.0
    assert area([Point(20, 0.0), Point(25, 0.0)], 20) == 1.0, "reached only at the end, or beyond"
