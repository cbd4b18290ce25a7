"""Classification losses of a stage: from objectness logits to one value a box.

Shape shorthand: ``(...)`` logits, labels and losses.
"""

from __future__ import annotations

from typing import Protocol

import torch.nn.functional as F
from fvcore.nn import sigmoid_focal_loss
from torch import Tensor


class ScoreLoss(Protocol):
    """What a stage expects of a classification loss."""

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Loss (...) of ``logits`` (...) where ``labels`` (...) are 1. for objects and 0. else."""


class BinaryCrossEntropyLoss:
    """Binary cross entropy, as in RPN."""

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """See :class:`ScoreLoss`."""
        return F.binary_cross_entropy_with_logits(logits, labels, reduction="none")


class SigmoidFocalLoss:
    """Focal loss, which weighs boxes down that are classified well (RetinaNet, equation 5).

    Args:
        alpha: weight of positives; that of negatives is ``1 - alpha``.
        gamma: how fast the weight of well classified boxes falls.
    """

    def __init__(self, alpha: float = 0.25, gamma: float = 2.0):
        self.alpha = float(alpha)
        self.gamma = float(gamma)

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """See :class:`ScoreLoss`."""
        return sigmoid_focal_loss(logits, labels, self.alpha, self.gamma)
