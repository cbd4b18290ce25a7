"""Regression losses of a stage."""

from __future__ import annotations

import torch

from cascade_rpn_d2.layers import bounded_iou_loss, iou_loss
from cascade_rpn_d2.modeling import BoundedIoULoss, BoxCoder, IoULoss, SmoothL1Loss

BOX, TARGET = torch.tensor([4.0, -4, 36, 28]), torch.tensor([6.0, 0, 44, 22])
CODER = BoxCoder((0.1, 0.1, 0.5, 0.5))


def test_iou_loss_decodes_without_clipping():
    deltas = torch.tensor([1.0, -2, 0.4, -0.6])
    loss = IoULoss()(deltas, BOX, TARGET, CODER)
    torch.testing.assert_close(loss, torch.tensor(1 - 0.571906))
    assert torch.equal(IoULoss("log")(deltas, BOX, TARGET, CODER),
                       iou_loss(CODER.decode(BOX, deltas), TARGET, "log"))  # fmt: skip


def test_all_vanish_at_the_target():
    deltas = CODER.encode(BOX, TARGET)
    for loss in (IoULoss(), IoULoss("log"), SmoothL1Loss(), BoundedIoULoss()):
        value = loss(deltas, BOX, TARGET, CODER)
        torch.testing.assert_close(value, torch.tensor(0.0), atol=1e-6, rtol=0)


def test_bounded_iou_loss_is_that_of_the_decoded_box():
    deltas = torch.tensor([1.0, -2, 0.4, -0.6])
    expected = bounded_iou_loss(CODER.decode(BOX, deltas), TARGET, beta=0.5)
    assert torch.equal(BoundedIoULoss(0.5)(deltas, BOX, TARGET, CODER), expected)


def test_smooth_l1_sums_four_deltas_in_standard_deviations():
    deltas = CODER.encode(BOX, TARGET) + torch.tensor([1.0, -1, 0.05, 0])
    expected = 2 * (1 - 0.5 / 9) + 0.5 * 0.05**2 * 9
    torch.testing.assert_close(SmoothL1Loss()(deltas, BOX, TARGET, CODER), torch.tensor(expected))
