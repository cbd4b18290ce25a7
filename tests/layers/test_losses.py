"""Losses between boxes."""

from __future__ import annotations

import math

import pytest
import torch

from cascade_rpn_d2.layers import iou_loss

HALF = torch.tensor([[0.0, 0, 10, 5]])
WHOLE = torch.tensor([[0.0, 0, 10, 10]])
ELSEWHERE = torch.tensor([[50.0, 50, 60, 60]])


def test_values():
    assert iou_loss(HALF, WHOLE).item() == pytest.approx(0.5)
    assert iou_loss(HALF, WHOLE, "log").item() == pytest.approx(math.log(2))
    assert iou_loss(WHOLE, WHOLE).item() == 0
    assert iou_loss(HALF, ELSEWHERE).item() == pytest.approx(1, rel=1e-5)
    assert iou_loss(HALF, ELSEWHERE, "log").item() == pytest.approx(6 * math.log(10))


@pytest.mark.parametrize("mode", ["linear", "log"])
def test_gradient_grows_the_box_towards_the_target(mode):
    box = HALF.clone().requires_grad_()
    iou_loss(box, WHOLE, mode).sum().backward()
    assert box.grad[0, 3] < 0 and box.grad.isfinite().all()


def test_unknown_mode():
    with pytest.raises(ValueError, match="'linear' or 'log'"):
        iou_loss(HALF, WHOLE, "square")
