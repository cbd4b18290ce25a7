"""Anchors of the old codes, which have whole numbers."""

from __future__ import annotations

import pytest
import torch

from cascade_rpn_d2.modeling import InclusiveAnchorGenerator

# Of CPM R-CNN's released code.
SIDES = {
    4: [(-22, -10, 25, 13), (-14, -14, 17, 17), (-10, -22, 13, 25)],
    8: [(-40, -20, 47, 27), (-28, -28, 35, 35), (-20, -44, 27, 51)],
    16: [(-84, -40, 99, 55), (-56, -56, 71, 71), (-36, -80, 51, 95)],
    32: [(-164, -72, 195, 103), (-112, -112, 143, 143), (-76, -168, 107, 199)],
    64: [(-332, -152, 395, 215), (-224, -224, 287, 287), (-148, -328, 211, 391)],
}
STRIDES = tuple(SIDES)


def make(rounding: str = "sides", strides=STRIDES) -> InclusiveAnchorGenerator:
    return InclusiveAnchorGenerator(
        sizes=[[8 * stride] for stride in strides],
        aspect_ratios=[0.5, 1.0, 2.0],
        strides=strides,
        rounding=rounding,
    )


def test_rounded_sides_are_those_of_the_released_code():
    for anchors, expected in zip(make().cell_anchors, SIDES.values(), strict=True):
        assert anchors.tolist() == [list(map(float, anchor)) for anchor in expected]


def test_rounded_corners():
    # By hand: of stride 4 the middle is 1.5; sides 45.25 and 22.63 reach 22.13 and 10.81 from it.
    first, *_ = make("corners").cell_anchors
    assert first.tolist() == [[-21, -9, 24, 12], [-14, -14, 17, 17], [-9, -21, 12, 24]]


@pytest.mark.parametrize("rounding", ["sides", "corners"])
def test_anchors_have_about_the_size_that_is_asked_for(rounding):
    for stride, anchors in zip(STRIDES, make(rounding).cell_anchors, strict=True):
        sides = anchors[:, 2:] - anchors[:, :2] + 1
        assert torch.allclose(sides.prod(dim=1).sqrt() / (8 * stride), torch.ones(3), atol=0.07)
        assert torch.allclose(anchors[:, :2] + anchors[:, 2:], torch.tensor(stride - 1.0))


def test_a_cell_further_is_a_stride_further():
    (boxes,) = make(strides=(16,))([torch.zeros(1, 1, 2, 3)])
    grid = boxes.tensor.view(2, 3, 3, 4)
    assert grid[0, 0].tolist() == [list(map(float, anchor)) for anchor in SIDES[16]]
    assert torch.equal(grid[1, 2] - grid[0, 0], torch.tensor([32.0, 16, 32, 16]).expand(3, 4))


def test_several_sizes_come_size_by_size():
    generator = InclusiveAnchorGenerator(
        sizes=[[128, 256]], aspect_ratios=[0.5, 1.0, 2.0], strides=[16]
    )
    (anchors,) = generator.cell_anchors
    assert anchors[:3].tolist() == [list(map(float, anchor)) for anchor in SIDES[16]]
    sides = anchors[:, 2:] - anchors[:, :2] + 1
    assert torch.equal(sides[3:], 2 * sides[:3])


def test_another_rounding_is_refused():
    with pytest.raises(ValueError, match="'sides' or 'corners' of anchors, not 'areas'"):
        make("areas")
