"""Losses between boxes, one value a box; reduction and normalisers belong to the caller."""

from __future__ import annotations

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from .boxes import box_iou

# Below this IoU the loss is constant: a predicted box that misses its target has no useful gradient
# in either form, and -log(IoU) has no finite value.
MIN_IOU = 1e-6

IoULossMode = Literal["linear", "log"]


def iou_loss(boxes: Tensor, targets: Tensor, mode: IoULossMode = "linear") -> Tensor:
    """IoU loss between predicted boxes and their targets.

    Cascade RPN (section 4.4) names the IoU loss without a formula; its released code and all its
    published weights use the linear form. The logarithmic form is that of UnitBox (equation 2).

    Args:
        boxes: (..., 4) predicted boxes, XYXY.
        targets: (..., 4) the boxes they should be.
        mode: ``"linear"``: ``1 - IoU``; ``"log"``: ``-ln(IoU)``. The IoU is kept above 1e-6.

    Returns:
        (...,) loss of every box.

    Raises:
        ValueError: for another mode.
    """
    if mode not in get_args(IoULossMode):
        raise ValueError(f"The mode of an IoU loss is 'linear' or 'log', not {mode!r}.")
    iou = box_iou(boxes, targets).clamp(min=MIN_IOU)
    return 1 - iou if mode == "linear" else -iou.log()


def bounded_iou_loss(
    boxes: Tensor, targets: Tensor, *, beta: float = 0.2, eps: float = 1e-3
) -> Tensor:
    """Bounded IoU loss: how good the IoU could still be, judged by x, y, width and height alone.

    Of a side w that should be t: ``1 - min(t / w, w / t)`` (Guided Anchoring, equation 6); of a
    centre that is off by d: ``1 - (t - 2 |d|) / (t + 2 |d|)``, at most 1. Each of the four goes
    through a smooth L1. A box whose centre cannot move has the terms of x and y too, as in the
    released code; they are constant then.

    Args:
        boxes: (..., 4) predicted boxes, XYXY.
        targets: (..., 4) the boxes they should be.
        beta: where the smooth L1 turns from quadratic to linear.
        eps: added to denominators, in units of the boxes.

    Returns:
        (...,) loss of every box, the sum of its four terms.
    """
    center, size = (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]
    wanted_center = (targets[..., :2] + targets[..., 2:]) / 2
    wanted = targets[..., 2:] - targets[..., :2]
    sides = torch.minimum(wanted / (size + eps), size / (wanted + eps))
    shift = 2 * (wanted_center - center).abs()
    centers = ((wanted - shift) / (wanted + shift + eps)).clamp(min=0)
    terms = 1 - torch.cat((centers, sides), dim=-1)  # (..., 4)
    zero = torch.zeros((), dtype=terms.dtype, device=terms.device).expand_as(terms)
    return F.smooth_l1_loss(terms, zero, beta=beta, reduction="none").sum(dim=-1)
