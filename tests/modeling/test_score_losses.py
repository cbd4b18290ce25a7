"""Classification losses of a stage."""

from __future__ import annotations

import math

import pytest
import torch

from cascade_rpn_d2.modeling import BinaryCrossEntropyLoss, SigmoidFocalLoss

LOGITS, LABELS = torch.tensor([0.0, 0.0, 5.0, 5.0]), torch.tensor([1.0, 0, 1, 0])


def test_binary_cross_entropy():
    loss = BinaryCrossEntropyLoss()(LOGITS, LABELS)
    assert loss[:2].tolist() == pytest.approx([math.log(2)] * 2)
    assert loss[2] < 0.01 and loss[3] > 5


def test_focal_loss_knows_which_label_is_the_object():
    loss = SigmoidFocalLoss(alpha=0.25, gamma=2.0)(LOGITS, LABELS)
    assert loss[0].item() == pytest.approx(0.25 * 0.25 * math.log(2))
    assert loss[1].item() == pytest.approx(0.75 * 0.25 * math.log(2))
    # A confident object that is one costs nothing, and one that is not costs 3.70.
    assert loss[2] < 1e-6
    assert loss[3].item() == pytest.approx(3.70, abs=0.01)


def test_focal_loss_without_focus_is_weighted_cross_entropy():
    weight = torch.tensor([0.25, 0.75, 0.25, 0.75])
    expected = BinaryCrossEntropyLoss()(LOGITS, LABELS) * weight
    torch.testing.assert_close(SigmoidFocalLoss(gamma=0.0)(LOGITS, LABELS), expected)
