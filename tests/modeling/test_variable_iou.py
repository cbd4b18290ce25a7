"""vIoU against the IoU of every box with every object."""

from __future__ import annotations

import itertools

import pytest
import torch
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from torch import Tensor

from cascade_rpn_d2.layers import pairwise_box_iou
from cascade_rpn_d2.modeling import Grid
from cascade_rpn_d2.modeling.assignment import ASPECT_RATIOS, OCTAVE_SCALES
from cascade_rpn_d2.modeling.variable_iou import variable_iou

GRIDS = [Grid(14, 9, 4), Grid(7, 5, 8), Grid(4, 3, 16), Grid(1, 1, 64)]


def squares_of(offset: float = 0.0, ratio: float = 1.0) -> Tensor:
    """(2, S, 4) float64, eight strides wide."""
    generator = DefaultAnchorGenerator(
        sizes=[[8 * grid.stride] for grid in GRIDS],
        aspect_ratios=[ratio],
        strides=[grid.stride for grid in GRIDS],
        offset=offset,
    )
    anchors = generator([torch.zeros(1, 1, grid.height, grid.width) for grid in GRIDS])
    return torch.cat([x.tensor for x in anchors]).double().expand(2, -1, -1)


def directly(objects: Tensor, squares: Tensor, scales, ratios) -> Tensor:
    """The best IoU of all boxes, made one by one."""
    center = (squares[..., :2] + squares[..., 2:]) / 2
    half = (squares[..., 2:] - squares[..., :2]) / 2
    found = []
    for scale, ratio in itertools.product(scales, ratios):
        side = half * scale * torch.tensor([ratio**-0.5, ratio**0.5], dtype=half.dtype)
        found.append(pairwise_box_iou(objects, torch.cat((center - side, center + side), dim=-1)))
    return torch.stack(found).amax(dim=0)


@pytest.mark.parametrize("offset", [0.0, 0.5])
@pytest.mark.parametrize(
    ("scales", "ratios"),
    [(OCTAVE_SCALES, ASPECT_RATIOS), ([0.7], [0.3, 1.0, 1.5, 4.0]), ([2], [1])],
)
def test_equals_the_comparison_of_all_boxes(offset, scales, ratios):
    torch.manual_seed(0)
    corner = 60 * torch.rand(2, 30, 2, dtype=torch.double) - 10
    objects = torch.cat((corner, corner + 2 ** (7 * torch.rand(2, 30, 2).double())), dim=2)
    objects[1, 20:] = 0  # padding
    squares = squares_of(offset)
    found = variable_iou(objects, squares, GRIDS, scales, ratios)
    expected = directly(objects, squares, scales, ratios)
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-12)
    assert (found[0] > 0.3).any() and (found[1, 20:] == 0).all()


def test_what_is_stretched_need_not_be_square():
    objects = torch.tensor([[[3.0, 5.0, 40.0, 21.0]]], dtype=torch.double).expand(2, -1, -1)
    squares = squares_of(ratio=0.5)
    found = variable_iou(objects, squares, GRIDS, OCTAVE_SCALES, ASPECT_RATIOS)
    expected = directly(objects, squares, OCTAVE_SCALES, ASPECT_RATIOS)
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-12)


def test_an_object_of_a_shape_that_is_tried_is_covered_whole():
    width, height = 32 * 2 ** (1 / 3) * 2**0.5, 32 * 2 ** (1 / 3) / 2**0.5
    x, y = 4 * 4, 6 * 4  # of the cell in row 6 and column 4 of the first level
    objects = torch.tensor([[[x - width / 2, y - height / 2, x + width / 2, y + height / 2]]])
    found = variable_iou(objects, squares_of()[:1].float(), GRIDS, OCTAVE_SCALES, ASPECT_RATIOS)
    assert found.argmax() == 6 * 9 + 4
    assert found.max() == pytest.approx(1.0)


def test_the_cells_that_an_object_overlaps_best_are_the_same_in_float32():
    """Where a box covers an object whole, cells differ in the last digits alone."""
    torch.manual_seed(1)
    corner = 40 * torch.rand(2, 30, 2)
    objects = torch.cat((corner, corner + 2 ** (5 * torch.rand(2, 30, 2) + 1)), dim=2)
    squares = squares_of().float()
    found = variable_iou(objects, squares, GRIDS, OCTAVE_SCALES, ASPECT_RATIOS)
    expected = directly(objects, squares, OCTAVE_SCALES, ASPECT_RATIOS)
    best = found == found.amax(dim=2, keepdim=True)
    assert torch.equal(best, expected == expected.amax(dim=2, keepdim=True))
    assert best.sum() > 60, "some objects have several"
