"""Soft-NMS: boxes that overlap a better one lose score, instead of being suppressed.

Neither torchvision nor Detectron2 has it. Called class by class, an operator would make the host
wait for the device to learn how many boxes each class has. Here the group of a box stands beside it
as a number, one call treats all groups at once, and on a GPU nothing waits.

Shape shorthand: ``R`` boxes, of all groups together, in any order.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor

from . import _library
from .boxes import box_area
from .nms import exact_threshold

SoftNMSMethod = Literal["linear", "gaussian"]


def soft_nms(
    boxes: Tensor,
    scores: Tensor,
    groups: Tensor,
    *,
    method: SoftNMSMethod = "linear",
    iou_threshold: float = 0.5,
    sigma: float = 0.5,
    min_score: float = 1e-4,
) -> Tensor:
    """The scores that remain when boxes lose score by their overlap with better ones.

    In each group, the box of the greatest running score is taken, of equal ones the first; its
    score is final. The running score of every other box is multiplied by the penalty of its IoU
    with the box taken. A box below ``min_score``, from the start or after a penalty, is discarded
    and is never taken. This repeats until no box is left (Bodla et al. 2017, "Soft-NMS: Improving
    Object Detection With One Line of Code", section 3). Boxes of different groups do not meet.

    The defaults of the linear penalty are those of CPM R-CNN's multi-scale test. The code of Bodla
    et al. differs: it adds 1 to the sides of a box, it never discards the very first box it takes,
    and it moves boxes about, so that among equal scores any may come first. As in that code, and
    not as in the paper, an IoU equal to the threshold costs nothing.

    Args:
        boxes: (R, 4) XYXY; float32 or float64. A box of NaN meets no other, as its IoUs are NaN.
        scores: (R,), of any floating dtype. NaN is discarded; infinity is the greatest score, and
            stays infinite unless the IoU is 1, by which it is discarded.
        groups: (R,) int64, such as the class of a box; any values.
        method: "linear" multiplies by ``1 - IoU`` where the IoU is above ``iou_threshold``;
            "gaussian" by ``exp(-IoU**2 / sigma)``.
        iou_threshold: of the linear penalty, in [0, 1].
        sigma: of the Gaussian penalty, positive.
        min_score: the least score that is kept, at least 0.

    Returns:
        (R,): the final score of every box in the order given, 0 where the box is discarded. Of the
        wider dtype of boxes and scores, in which all is computed: half-precision scores give
        float32, as decayed scores that are distinct would often be equal when rounded back. Without
        gradient.

    Raises:
        ValueError: when the shapes or devices do not fit, or an option is out of its range.
        TypeError: when the dtypes do not fit.
    """
    _check_tensors(boxes, scores, groups)
    _check_options(method, iou_threshold, sigma, min_score)
    dtype = torch.promote_types(boxes.dtype, scores.dtype)
    boxes, scores = boxes.detach().to(dtype), scores.detach().to(dtype)
    gaussian = method == "gaussian"
    if _library.has_kernel(boxes.device):
        return torch.ops.cascade_rpn_d2.soft_nms(
            boxes, scores, groups, gaussian, iou_threshold, sigma, min_score
        )
    return _soft_nms_fallback(boxes, scores, groups, gaussian, iou_threshold, sigma, min_score)


def _check_tensors(boxes: Tensor, scores: Tensor, groups: Tensor) -> None:
    count = boxes.shape[:1]
    if boxes.shape != (*count, 4) or scores.shape != count or groups.shape != count:
        raise ValueError(
            "boxes must have shape (R, 4), scores (R,) and groups (R,); got shapes "
            f"{tuple(boxes.shape)}, {tuple(scores.shape)} and {tuple(groups.shape)}."
        )
    if boxes.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"boxes must be float32 or float64; got {boxes.dtype}.")
    if not scores.is_floating_point() or groups.dtype != torch.int64:
        raise TypeError(
            "scores must be floating point and groups int64; "
            f"got {scores.dtype} and {groups.dtype}."
        )
    if scores.device != boxes.device or groups.device != boxes.device:
        raise ValueError(
            "boxes, scores and groups must be on one device; "
            f"got {boxes.device}, {scores.device} and {groups.device}."
        )


def _check_options(method: str, iou_threshold: float, sigma: float, min_score: float) -> None:
    methods = get_args(SoftNMSMethod)
    if method not in methods:
        raise ValueError(f"method must be one of {', '.join(methods)}; got {method!r}.")
    if not 0 <= iou_threshold <= 1:
        raise ValueError(f"iou_threshold must be in [0, 1]; got {iou_threshold}.")
    if not (math.isfinite(sigma) and sigma > 0):
        raise ValueError(f"sigma must be a positive number; got {sigma}.")
    if not (math.isfinite(min_score) and min_score >= 0):
        raise ValueError(f"min_score must be a number of at least 0; got {min_score}.")


def _soft_nms_fallback(
    boxes: Tensor,
    scores: Tensor,
    groups: Tensor,
    gaussian: bool,
    iou_threshold: float,
    sigma: float,
    min_score: float,
) -> Tensor:
    """Takes the best box of every group at once, as often as the largest group has boxes."""
    result = torch.zeros_like(scores)
    names, groups = groups.unique(return_inverse=True)
    index = torch.arange(len(scores), device=scores.device)
    left = scores >= min_score  # not if NaN
    while left.any():
        boxes, scores, groups, index = boxes[left], scores[left], groups[left], index[left]
        count = len(index)
        place = torch.arange(count, device=index.device)
        best = scores.new_zeros(len(names)).scatter_reduce(0, groups, scores, "amax")
        leading = torch.where(scores == best[groups], place, count)
        first = place.new_full((len(names),), count).scatter_reduce(0, groups, leading, "amin")
        taken = first[groups]  # the place of the box that the group of each box takes
        result[index[taken]] = scores[taken]
        penalty = _penalty(_iou(boxes, boxes[taken]), gaussian, iou_threshold, sigma)
        scores = scores * penalty
        left = (scores >= min_score) & (taken != place)
    return result


def _iou(boxes: Tensor, others: Tensor) -> Tensor:
    """IoU (R,) of two tensors of boxes (R, 4) that correspond; 0 where it is not defined."""
    low = torch.maximum(boxes[:, :2], others[:, :2])
    high = torch.minimum(boxes[:, 2:], others[:, 2:])
    intersection = (high - low).clamp(min=0).prod(dim=-1)
    return (intersection / (box_area(boxes) + box_area(others) - intersection)).nan_to_num(nan=0.0)


def _penalty(iou: Tensor, gaussian: bool, iou_threshold: float, sigma: float) -> Tensor:
    if gaussian:
        return torch.exp(-iou.square() / sigma)
    return torch.where(iou > exact_threshold(iou_threshold, iou.dtype), 1 - iou, 1)


if _library.is_compiled():

    @torch.library.register_fake("cascade_rpn_d2::soft_nms")
    def _(boxes, scores, groups, gaussian, iou_threshold, sigma, min_score):
        return torch.empty_like(scores, memory_format=torch.contiguous_format)
