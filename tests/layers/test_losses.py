"""Losses between boxes."""

from __future__ import annotations

import math

import pytest
import torch

from cascade_rpn_d2.layers import bounded_iou_loss, iou_loss

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


class TestBoundedIoULoss:
    def test_worked_terms(self):
        """A box of 40 x 10 in the place of one of 20 x 20, 4 px further left."""
        box, target = torch.tensor([-24.0, -5, 16, 5]), torch.tensor([-10.0, -10, 10, 10])
        # x: 1 - (20 - 8) / (20 + 8) = 4/7, width: 1 - 20/40, height: 1 - 10/20, y: 0
        terms = [4 / 7, 0.5, 0.5]
        loss = bounded_iou_loss(box, target, eps=0.0)
        assert loss.item() == pytest.approx(sum(t - 0.1 for t in terms))  # all beyond beta = 0.2
        loss = bounded_iou_loss(box, target, beta=1.0, eps=0.0)
        assert loss.item() == pytest.approx(sum(t**2 / 2 for t in terms))

    def test_each_term_bounds_the_iou(self):
        boxes = torch.rand(200, 4, generator=torch.Generator().manual_seed(0)) * 20
        boxes[:, 2:] += boxes[:, :2] + 1
        targets = boxes.roll(1, dims=0)
        only_one_off = targets.clone()
        only_one_off[:, 2] = targets[:, 0] + (boxes[:, 2] - boxes[:, 0])
        shift = (targets[:, 2] - only_one_off[:, 2]) / 2  # keeps the centre where it was
        only_one_off[:, 0] += shift
        only_one_off[:, 2] += shift
        # With the rest right, the term of a side is 1 - IoU itself.
        loss = bounded_iou_loss(only_one_off, targets, beta=0.0, eps=0.0)
        torch.testing.assert_close(loss, iou_loss(only_one_off, targets), atol=1e-5, rtol=0)

    def test_gradient_leads_to_the_target_and_is_finite_for_boxes_without_area(self):
        boxes = torch.stack((HALF[0], ELSEWHERE[0], torch.zeros(4))).requires_grad_()
        bounded_iou_loss(boxes, WHOLE).sum().backward()
        assert boxes.grad.isfinite().all()
        assert boxes.grad[0, 3] < 0
