"""Deltas between boxes that name their last pixel."""

from __future__ import annotations

import math

import pytest
import torch
from detectron2.modeling.box_regression import Box2BoxTransform

from cascade_rpn_d2.modeling import (
    BoxCoder,
    InclusiveBox2BoxTransform,
    InclusiveBoxCoder,
    SymmetricBox2BoxTransform,
)

PLAIN = Box2BoxTransform(weights=(1.0, 1.0, 1.0, 1.0))
CODERS = [PLAIN, SymmetricBox2BoxTransform((1.0, 1.0, 1.0, 1.0))]


@pytest.mark.parametrize("transform", CODERS)
def test_worked_numbers(transform):
    # Ten pixels a side, 10 to 19, become twenty: 30 to 49 and 10 to 29.
    coder = InclusiveBox2BoxTransform(transform)
    boxes, targets = torch.tensor([[10.0, 10, 19, 19]]), torch.tensor([[30.0, 10, 49, 29]])
    deltas = coder.get_deltas(boxes, targets)
    # Centres move from 15 to 40 and from 15 to 20.
    torch.testing.assert_close(deltas, torch.tensor([[2.5, 0.5, math.log(2), math.log(2)]]))
    torch.testing.assert_close(coder.apply_deltas(deltas, boxes), targets)


@pytest.mark.parametrize("transform", CODERS)
def test_no_deltas_leave_a_box_where_it_is(transform):
    boxes = torch.tensor([[3.0, 4, 3, 9], [0, 0, 99, 49]])  # one is a pixel wide
    coder = InclusiveBox2BoxTransform(transform)
    found = coder.apply_deltas(torch.zeros(2, 8), boxes)
    torch.testing.assert_close(found, boxes.repeat(1, 2))
    torch.testing.assert_close(coder.get_deltas(boxes, boxes), torch.zeros(2, 4))


def test_the_codes_differ_in_what_they_bound():
    boxes, deltas = torch.tensor([[0.0, 0, 999, 999]]), torch.full((1, 4), -9.0)
    deltas[:, :2] = 0
    widths = []
    for transform in CODERS:
        x1, _, x2, _ = InclusiveBox2BoxTransform(transform).apply_deltas(deltas, boxes)[0].tolist()
        widths.append(x2 - x1 + 1)
    assert widths == pytest.approx([1000 * math.exp(-9), 16], abs=1e-3)


def test_weights_are_those_of_the_coding():
    coder = InclusiveBox2BoxTransform(Box2BoxTransform(weights=(10.0, 10.0, 5.0, 5.0)))
    assert coder.weights == (10.0, 10.0, 5.0, 5.0)
    boxes, targets = torch.tensor([[10.0, 10, 19, 19]]), torch.tensor([[30.0, 10, 49, 29]])
    expected = torch.tensor([[25, 5, 5 * math.log(2), 5 * math.log(2)]])
    torch.testing.assert_close(coder.get_deltas(boxes, targets), expected)


@pytest.mark.parametrize("bounds_shrinking", [True, False])
def test_the_coder_of_generators_is_the_coding_of_roi_heads(bounds_shrinking):
    coder = InclusiveBoxCoder(BoxCoder(bounds_shrinking=bounds_shrinking))
    transform = InclusiveBox2BoxTransform(CODERS[bounds_shrinking])
    boxes, targets = torch.tensor([[10.0, 10, 19, 19]]), torch.tensor([[30.0, 10, 49, 29]])
    deltas = coder.encode(boxes, targets)
    torch.testing.assert_close(deltas, transform.get_deltas(boxes, targets))
    far = torch.tensor([[1.0, 0, -9, 9]])
    torch.testing.assert_close(coder.decode(boxes, far), transform.apply_deltas(far, boxes))
    assert coder.stds == (1.0, 1.0, 1.0, 1.0)
