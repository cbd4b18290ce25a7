"""Non-maximum suppression of many groups of sorted boxes at once.

Why not ``torchvision.ops.batched_nms``: the size of its result depends on the boxes, so the host
waits for the device in every call, and it keeps groups apart by moving their boxes, which rounds
them. Here groups are a dimension of the tensors, the result is a mask, and nothing waits.

Shape shorthand: ``G`` groups, such as the levels of all images; ``R`` boxes of a group.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from . import _library
from .boxes import box_area

# Boxes whose overlaps the fallback computes at once.
_ROWS = 256


def sorted_nms(boxes: Tensor, valid: Tensor, iou_threshold: float) -> Tensor:
    """Which boxes remain when every kept one suppresses those after it that overlap it.

    Args:
        boxes: (G, R, 4) XYXY, the best box of each group first; float32 or float64.
        valid: (G, R) bool; other boxes are not kept and suppress nothing.
        iou_threshold: boxes of a larger IoU are suppressed. Compared as ``torchvision.ops.nms``
            compares on a CPU, so that both keep the same boxes; on a GPU torchvision first rounds
            the threshold to float32.

    Returns:
        (G, R) bool.

    Raises:
        ValueError: when the shapes do not fit.
        TypeError: when the dtypes do not fit.
    """
    if boxes.dim() != 3 or boxes.shape[-1] != 4 or valid.shape != boxes.shape[:2]:
        raise ValueError(
            "boxes must have shape (G, R, 4) and valid (G, R); "
            f"got shapes {tuple(boxes.shape)} and {tuple(valid.shape)}."
        )
    if boxes.dtype not in (torch.float32, torch.float64) or valid.dtype != torch.bool:
        raise TypeError(
            f"boxes must be float32 or float64 and valid bool; got {boxes.dtype} and {valid.dtype}."
        )
    boxes = boxes.detach()
    if _library.has_kernel(boxes.device):
        return torch.ops.cascade_rpn_d2.sorted_nms(boxes, valid, iou_threshold)
    return _sorted_nms_fallback(boxes, valid, iou_threshold)


def exact_threshold(threshold: float, dtype: torch.dtype) -> float:
    """The largest number of a dtype that is not above the threshold: what exceeds the one exceeds
    the other, and no device has to compute in float64.

    Args:
        threshold: any number.
        dtype: float32 or float64.
    """
    if dtype == torch.float64 or not math.isfinite(threshold):
        return threshold
    limit = torch.finfo(torch.float32)
    if abs(threshold) > limit.max:
        return limit.max if threshold > 0 else -math.inf
    # A step between neighbours: 24 bits of a number, or that of the smallest numbers.
    exponent = max(math.frexp(threshold)[1], math.frexp(limit.tiny)[1]) - 24
    return math.ldexp(math.floor(math.ldexp(threshold, -exponent)), exponent)


def _sorted_nms_fallback(boxes: Tensor, valid: Tensor, iou_threshold: float) -> Tensor:
    keep = valid.clone()
    area = box_area(boxes)
    threshold = exact_threshold(iou_threshold, boxes.dtype)
    for first in range(0, boxes.shape[1], _ROWS):
        rows = boxes[:, first : first + _ROWS, None]  # (G, rows, 1, 4)
        low = torch.maximum(rows[..., :2], boxes[:, None, :, :2])
        high = torch.minimum(rows[..., 2:], boxes[:, None, :, 2:])
        intersection = (high - low).clamp(min=0).prod(dim=-1)  # (G, rows, R)
        union = area[:, first : first + _ROWS, None] + area[:, None] - intersection
        overlaps = intersection / union > threshold  # not if NaN
        for i in range(rows.shape[1]):
            later = slice(first + i + 1, None)
            keep[:, later] &= ~(overlaps[:, i, later] & keep[:, first + i, None])
    return keep


if _library.is_compiled():

    @torch.library.register_fake("cascade_rpn_d2::sorted_nms")
    def _(boxes, valid, iou_threshold):
        return torch.empty_like(valid, memory_format=torch.contiguous_format)
