"""What matters about proposals can be seen."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cascade_rpn_d2.visualization import draw_ground_truth, draw_proposals, recall_caption
from cascade_rpn_d2.visualization.proposals import (
    GROUND_TRUTH,
    IOU_COLORS,
    best_matches,
    iou_color,
    sort_by_score,
)

(_, GREEN), (_, AMBER), (_, RED) = IOU_COLORS
# Three objects, whose best proposals have IoU 0.8, 0.5 and 1/3; the last proposal is far away.
OBJECTS = np.array([[10, 10, 50, 50], [10, 60, 50, 100], [60, 10, 100, 50]], float)
PROPOSALS = np.array(
    [[10, 10, 50, 42], [10, 60, 50, 80], [80, 10, 120, 50], [70, 70, 115, 115]], float
)


def image():
    return np.full((120, 130, 3), 60, np.uint8)


def has(picture, color):
    return bool((picture == color).all(axis=2).any())


def test_the_best_proposal_of_an_object_tells_its_iou():
    picture = draw_proposals(image(), PROPOSALS, gt_boxes=OBJECTS)
    # A point on an edge of each best proposal that no other box is near.
    assert picture[41, 30].tolist() == list(GREEN)
    assert picture[80, 30].tolist() == list(AMBER)
    assert picture[30, 119].tolist() == list(RED)
    # The other one is pale, and lighter than the darkened image.
    pale, background = picture[115, 90], picture[105, 90]
    assert background.max() < 60 and background.max() < pale.max() < 150
    # Where the object differs from its best proposal it can be seen.
    assert picture[100, 30].min() > 120


def test_colours_follow_the_iou_at_the_thresholds():
    values = (1.0, 0.7, 0.69, 0.5, 0.49, 0.0)
    assert [iou_color(v) for v in values] == [GREEN, GREEN, AMBER, AMBER, RED, RED]


@pytest.mark.parametrize(("iou", "count"), [(0.3, 3), (0.5, 2), (0.7, 1), (0.9, 0)])
def test_recall_counts_the_objects_covered(iou, count):
    assert recall_caption(PROPOSALS, OBJECTS, iou=iou) == f"recall@{iou:g}: {count}/3"


def test_only_the_top_proposals_count():
    assert recall_caption(PROPOSALS, OBJECTS, top=1, iou=0.5) == "recall@0.5: 1/3"
    assert not has(draw_proposals(image(), PROPOSALS, gt_boxes=OBJECTS, top=1), AMBER)
    reverse = torch.arange(4.0)  # the first is the worst
    assert not has(draw_proposals(image(), PROPOSALS, reverse, OBJECTS, top=1), GREEN)


def test_best_matches_of_a_worked_example():
    index, iou = best_matches(PROPOSALS, OBJECTS)
    assert index.tolist() == [0, 1, 2]
    np.testing.assert_allclose(iou, [0.8, 0.5, 1 / 3])


@given(st.integers(0, 5), st.integers(0, 5))
def test_any_number_of_boxes_and_objects_is_drawn(boxes, objects):
    rng = np.random.default_rng(boxes * 7 + objects)

    def some(n):
        corners = rng.uniform(0, 100, (n, 2))
        return np.concatenate((corners, corners + rng.uniform(0, 60, (n, 2))), axis=1)

    proposals, truth = some(boxes), some(objects)
    index, iou = best_matches(proposals, truth)
    assert index.shape == iou.shape == (objects,) and ((iou >= 0) & (iou <= 1)).all()
    assert draw_proposals(image(), proposals, gt_boxes=truth, scale=1.5).shape == (180, 195, 3)
    assert draw_proposals(image(), proposals).shape == (120, 130, 3)


def test_without_objects_the_first_proposal_is_on_top():
    same = np.array([[20, 20, 80, 80], [20, 20, 80, 80]], float)
    first, last = draw_proposals(image(), same[:1]), draw_proposals(image(), same)
    np.testing.assert_array_equal(first[20, 30:70], last[20, 30:70])
    many = np.concatenate((same, np.tile([[90.0, 90, 110, 110]], (30, 1))))
    picture = draw_proposals(image(), many, np.arange(32)[::-1])
    assert picture[20, 50].sum() > picture[110, 100].sum()  # bright first, dark last


def test_scale_moves_the_boxes_with_the_image():
    picture = draw_ground_truth(image(), [[20, 30, 80, 90]], scale=2.0)
    ys, xs = np.nonzero((picture == GROUND_TRUTH).all(axis=2))
    assert abs(xs.min() - 40) <= 2 and abs(xs.max() - 160) <= 2
    assert abs(ys.min() - 60) <= 2 and abs(ys.max() - 180) <= 2


def test_the_image_given_stays_as_it_is():
    given_image = image()
    draw_proposals(given_image, PROPOSALS, gt_boxes=OBJECTS)
    draw_proposals(given_image, PROPOSALS)
    draw_ground_truth(given_image, OBJECTS)
    assert (given_image == 60).all()


def test_scores_must_be_one_a_box():
    with pytest.raises(ValueError, match="4 boxes need as many scores, not"):
        draw_proposals(image(), PROPOSALS, [0.5])


def test_equal_scores_keep_their_order():
    np.testing.assert_array_equal(sort_by_score(PROPOSALS, np.ones(4)), PROPOSALS)
    np.testing.assert_array_equal(sort_by_score(PROPOSALS, np.arange(4)), PROPOSALS[::-1])


def test_lines_on_a_large_photograph_are_as_wide_as_those_on_its_small_copy():
    def light(side: int, **options) -> float:
        image = np.zeros((side, side, 3), np.uint8)
        boxes = np.array([[0.1, 0.2, 0.5, 0.6], [0.3, 0.3, 0.8, 0.9], [0.6, 0.1, 0.62, 0.12]])
        drawn = draw_proposals(image, boxes * side, **options)
        return float(drawn.mean())

    objects = np.array([[0.1, 0.2, 0.5, 0.6]])
    assert light(4000) == pytest.approx(light(1000), rel=0.1)
    assert light(4000, gt_boxes=objects * 4000) == pytest.approx(
        light(1000, gt_boxes=objects * 1000), rel=0.1
    )
