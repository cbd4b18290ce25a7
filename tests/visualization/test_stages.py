"""The picture of several generators side by side."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cascade_rpn_d2.visualization import draw_stages, proposals, stages
from cascade_rpn_d2.visualization.proposals import IOU_COLORS

(_, GREEN), (_, AMBER), (_, RED) = IOU_COLORS
OBJECTS = [torch.tensor([[10.0, 10, 60, 60]]), torch.tensor([[5.0, 5, 40, 80], [50, 50, 90, 90]])]
IMAGES = [np.full((100, 100, 3), 60, np.uint8), np.full((100, 80, 3), 60, np.uint8)]


def column(picture, number, count):
    step = picture.shape[1] / count
    return picture[:-60, round(number * step) : round((number + 1) * step)]  # without the legend


def has(picture, color):
    return bool((picture == color).all(axis=2).any())


def test_columns_show_their_own_proposals():
    poor = [boxes + torch.tensor([0.0, 0, 40, 40]) for boxes in OBJECTS]
    picture = draw_stages(IMAGES, OBJECTS, {"poor": poor, "perfect": OBJECTS}, width=660)
    assert picture.shape[1] == 660 and picture.dtype == np.uint8
    truth, first, second = (column(picture, i, 3) for i in range(3))
    assert not any(has(truth, color) for color in (GREEN, AMBER, RED))
    assert has(first, RED) and not has(first, GREEN)
    assert has(second, GREEN) and not has(second, RED) and not has(second, AMBER)


def test_captions_tell_the_recall_of_each_image(monkeypatch):
    captions = []

    def grid(rows, headers, legend, width):
        captions.extend([[panel.caption for panel in row] for row in rows] + [headers])

    monkeypatch.setattr(stages, "panel_grid", grid)
    half = [OBJECTS[0], OBJECTS[1][:1]]
    draw_stages(IMAGES, OBJECTS, {"half": half, "none": [[], []]}, iou=0.5)
    assert captions == [
        ["1 object", "recall@0.5: 1/1", "recall@0.5: 0/1"],
        ["2 objects", "recall@0.5: 1/2", "recall@0.5: 0/2"],
        ["Ground truth", "half", "none"],
    ]


def test_the_legend_has_every_colour_of_the_boxes():
    colors = [color for color, _ in stages.stages_legend(100)]
    assert {GREEN, AMBER, RED, proposals.GROUND_TRUTH} <= set(colors)


def test_every_image_needs_its_boxes():
    with pytest.raises(ValueError, match="'RPN' has boxes of 1 images, not of 2"):
        draw_stages(IMAGES, OBJECTS, {"RPN": OBJECTS[:1]})
    with pytest.raises(ValueError, match="'Ground truth' has boxes of 0 images"):
        draw_stages(IMAGES, [], {"RPN": OBJECTS})
    with pytest.raises(ValueError, match="at least one panel"):
        draw_stages([], [], {})


def test_without_objects_the_best_are_coloured_by_rank():
    boxes = [torch.tensor([[10.0, 10, 60, 60], [20, 30, 70, 90], [5, 5, 95, 95]])] * 2
    picture = draw_stages(IMAGES, None, {"stage 1": boxes, "stage 2": boxes}, top=2, width=660)
    first, last = proposals.rank_colors(2)
    for part in (column(picture, i, 2) for i in range(2)):
        assert has(part, first) and has(part, last)
        assert not any(has(part, color) for color in (GREEN, AMBER, RED))
    assert [words for _, words in stages.ranks_legend(2)] == ["best proposal", "rank 2"]
    assert [words for _, words in stages.ranks_legend(1)] == ["best proposal"]
    assert len({color for color, _ in stages.ranks_legend(20)}) == 3


def test_captions_count_the_proposals_that_are_drawn(monkeypatch):
    captions = []

    def grid(rows, headers, legend, width):
        captions.extend([panel.caption for panel in row] for row in rows)

    monkeypatch.setattr(stages, "panel_grid", grid)
    draw_stages(IMAGES, None, {"a": OBJECTS}, top=1)
    assert captions == [["1 of 1 proposals"], ["1 of 2 proposals"]]
