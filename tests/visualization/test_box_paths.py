"""A box in every stage."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cascade_rpn_d2.visualization import BoxPath, box_paths, draw_box_paths
from cascade_rpn_d2.visualization.box_paths import (
    PROPOSAL,
    STAGE_COLORS,
    iou_in_image,
    region_boxes,
    stage_color,
)
from cascade_rpn_d2.visualization.panels import cell_size
from cascade_rpn_d2.visualization.proposals import GROUND_TRUTH

IMAGE = np.full((100, 120, 3), 60, np.uint8)
TARGET = torch.tensor([30.0, 20, 70, 60])
BOXES = torch.tensor([[20.0, 20, 60, 60], [25, 20, 65, 60], [30, 20, 70, 60]])
PATH = BoxPath(BOXES, (2.0, 1.5), TARGET)


def column(picture, number, count):
    """The panels of a column, without headers and legend."""
    size = cell_size(picture.shape[1], count)
    left = (picture.shape[1] - count * size - (count - 1) * 10) // 2 + number * (size + 10)
    return picture[32:-40, left : left + size]


def has(picture, color):
    return bool((picture == color).all(axis=2).any())


def test_a_stage_shows_the_box_that_it_was_given_and_the_one_it_made():
    picture = draw_box_paths([IMAGE], [PATH], width=700)
    assert picture.shape[1] == 700 and (IMAGE == 60).all()
    every, first, second = (column(picture, number, 3) for number in range(3))
    colors = (PROPOSAL, *STAGE_COLORS[:2])
    assert [has(every, color) for color in colors] == [True, True, True]
    assert [has(first, color) for color in colors] == [True, True, False]
    assert [has(second, color) for color in colors] == [False, True, True]


def test_the_object_is_drawn_if_it_is_known():
    boxes = BOXES + 8
    known, unknown = (
        draw_box_paths([IMAGE], [BoxPath(boxes, (2.0, 1.5), target)], width=700)[32:-40]
        for target in (TARGET, None)
    )
    captions_are_grey = [has(picture[: cell_size(700, 3)], GROUND_TRUTH) for picture in (known,)]
    assert captions_are_grey == [True]
    assert unknown.shape[0] < known.shape[0]  # no line of IoUs


def test_captions_tell_the_iou_after_every_stage(monkeypatch):
    grids = []
    monkeypatch.setattr(
        box_paths, "panel_grid", lambda rows, headers, legend, width: grids.append((rows, headers))
    )
    draw_box_paths([IMAGE], [PATH])
    (((every, *stages),), headers) = grids[0]
    # 30, 35 and 40 of 40 columns are shared.
    assert every.caption == "IoU 0.60 → 0.78 → 1.00"
    assert [panel.caption for panel in stages] == ["IoU 0.60 → 0.78", "IoU 0.78 → 1.00"]
    assert headers == ["The box in 2 stages", "Stage 1, region x 2", "Stage 2, region x 1.5"]


def test_the_region_is_dashed_around_the_box_of_the_stage():
    target = torch.tensor([55.0, 45, 60, 50])
    path = BoxPath(torch.tensor([[40.0, 30, 80, 70], [55, 45, 60, 50]]), (2.0,), target)
    panel = column(draw_box_paths([IMAGE], [path], width=700), 1, 2)
    red = (panel == PROPOSAL).all(axis=2)
    ys, xs = np.nonzero(red)
    edge = red[ys.min()]
    # The region is twice as wide as the box, whose lines are whole.
    assert 0.3 < edge.sum() / (xs.max() - xs.min()) < 0.7
    box_rows = np.nonzero(red.sum(axis=1) > 0.4 * (xs.max() - xs.min()))[0]
    middle = [row for row in box_rows if abs(row - ys.mean()) < 0.35 * (ys.max() - ys.min())]
    height = max(middle) - min(middle)
    assert height == pytest.approx((ys.max() - ys.min()) / 2, rel=0.05)


def test_regions_grow_about_the_middle():
    boxes = np.array([[10.0, 20, 30, 60]])
    np.testing.assert_allclose(region_boxes(boxes, 1.5), [[5, 10, 35, 70]])
    np.testing.assert_allclose(region_boxes(boxes, 1.0), boxes)


def test_iou_is_that_of_the_part_in_the_image():
    boxes, target = np.array([[-50.0, 0, 40, 40], [0, 0, 20, 40]]), np.array([[0.0, 0, 40, 40]])
    assert iou_in_image(boxes, target, (40, 80, 3)).tolist() == [1, 0.5]


def test_there_are_colours_for_any_number_of_stages():
    assert stage_color(0) == PROPOSAL and stage_color(5) == STAGE_COLORS[0]


def test_boxes_must_match_images_and_stages():
    with pytest.raises(ValueError, match="paths of 1 boxes for 2 images"):
        draw_box_paths([IMAGE, IMAGE], [PATH])
    with pytest.raises(ValueError, match="paths of 0 boxes"):
        draw_box_paths([], [])
    for other in (BoxPath(BOXES[:2], (2.0,)), BoxPath(BOXES[:2], (2.0, 1.5))):
        with pytest.raises(ValueError, match="the same stages"):
            draw_box_paths([IMAGE, IMAGE], [PATH, other])
