"""Regression losses of a stage: from predicted deltas to one value a box.

Shape shorthand: ``(..., 4)`` deltas or boxes, ``(...)`` losses.
"""

from __future__ import annotations

from typing import Protocol

import torch.nn.functional as F
from torch import Tensor

from ..layers import IoULossMode, bounded_iou_loss, iou_loss
from .box_coder import BoxCoder


class BoxLoss(Protocol):
    """What a stage expects of a regression loss."""

    def __call__(self, deltas: Tensor, boxes: Tensor, targets: Tensor, coder: BoxCoder) -> Tensor:
        """Loss (...,) of ``deltas`` (..., 4) that should turn ``boxes`` into ``targets``."""


class IoULoss:
    """IoU between the decoded box, not clipped to the image, and its target.

    Args:
        mode: ``"linear"`` (all published weights) or ``"log"``; see
            :func:`cascade_rpn_d2.layers.iou_loss`.
    """

    def __init__(self, mode: IoULossMode = "linear"):
        self.mode = mode

    def __call__(self, deltas: Tensor, boxes: Tensor, targets: Tensor, coder: BoxCoder) -> Tensor:
        """See :class:`BoxLoss`."""
        return iou_loss(coder.decode(boxes, deltas), targets, self.mode)


class SmoothL1Loss:
    """Smooth L1 between predicted and true deltas, in standard deviations, summed over the four.

    Args:
        beta: where the loss turns from quadratic to linear (1/9 in the released code; 0 is L1).
    """

    def __init__(self, beta: float = 1.0 / 9):
        self.beta = float(beta)

    def __call__(self, deltas: Tensor, boxes: Tensor, targets: Tensor, coder: BoxCoder) -> Tensor:
        """See :class:`BoxLoss`."""
        wanted = coder.encode(boxes, targets)
        return F.smooth_l1_loss(deltas, wanted, beta=self.beta, reduction="none").sum(dim=-1)


class BoundedIoULoss:
    """Bounded IoU between the decoded box, not clipped, and its target.

    It trains the shapes of guided anchors, and the deltas of a row of Guided Anchoring's Table 1.

    Args:
        beta: see :func:`cascade_rpn_d2.layers.bounded_iou_loss` (0.2 in the released code).
    """

    def __init__(self, beta: float = 0.2):
        self.beta = float(beta)

    def __call__(self, deltas: Tensor, boxes: Tensor, targets: Tensor, coder: BoxCoder) -> Tensor:
        """See :class:`BoxLoss`."""
        return bounded_iou_loss(coder.decode(boxes, deltas), targets, beta=self.beta)
