"""Losses between boxes, one value a box; reduction and normalisers belong to the caller."""

from __future__ import annotations

from typing import Literal, get_args

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
