"""From the scored boxes of all cells to the proposals of an image: top-k, NMS, top-k.

Why not Detectron2's ``find_top_rpn_proposals``: it walks over the images one by one and makes the
host wait for the device several times for each. Here the batch is one tensor until the end, and the
host waits once, to read how many proposals every image has. The proposals are the same, but for the
order of equal scores.

Shape shorthand: ``N`` images, ``L`` levels, ``Ri`` boxes an image on level i, ``P`` candidates of a
level after the first top-k (padded), ``K`` proposals an image at most.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from detectron2.structures import Boxes, Instances
from torch import Tensor

from ...layers import sorted_nms


@torch.no_grad()
def select_proposals(
    boxes: Sequence[Tensor],
    logits: Sequence[Tensor],
    image_sizes: Sequence[tuple[int, int]],
    *,
    pre_nms_topk: int,
    post_nms_topk: int,
    nms_thresh: float,
    nms_across_levels: bool = False,
    min_box_size: float = 0.0,
    may_propose: Sequence[Tensor] | None = None,
    training: bool = False,
) -> list[Instances]:
    """The best boxes of every image by their logits, after NMS.

    Args:
        boxes: one (N, Ri, 4) tensor a level, clipped to their images.
        logits: one (N, Ri) tensor a level.
        image_sizes: height and width of the N images.
        pre_nms_topk: boxes kept per level before NMS.
        post_nms_topk: proposals kept per image.
        nms_thresh: IoU above which the lower of two proposals is suppressed.
        nms_across_levels: suppress between levels too, rather than within each level only.
        min_box_size: boxes whose width or height is not above this (pixels) are dropped.
        may_propose: one (N, Ri) bool a level, which boxes are candidates; all of them by default.
        training: whether a number that is not finite is an error; otherwise its box is dropped.

    Returns:
        ``proposal_boxes`` and ``objectness_logits`` of every image, best first.

    Raises:
        FloatingPointError: while training, if a box or a logit among the best is not finite.
    """
    # (N, L, P, 4), (N, L, P), (N, L, P)
    candidates, scores, present = _best_of_levels(boxes, logits, may_propose, pre_nms_topk)
    finite = candidates.isfinite().all(dim=-1) & scores.isfinite()
    width, height = (candidates[..., 2:] - candidates[..., :2]).unbind(-1)
    valid = present & finite & (width > min_box_size) & (height > min_box_size)
    if nms_across_levels:
        candidates, scores, valid = (x.flatten(1, 2)[:, None] for x in (candidates, scores, valid))
        scores, order = scores.sort(dim=2, descending=True, stable=True)
        candidates = candidates.gather(2, order[..., None].expand_as(candidates))
        valid = valid.gather(2, order)

    keep = sorted_nms(candidates.flatten(0, 1), valid.flatten(0, 1), nms_thresh).view_as(valid)
    # Kept ones first, by score, and in the order of the levels where scores are equal.
    ranked = scores.masked_fill(~keep, -torch.inf).flatten(1)
    ranked, order = ranked.sort(dim=1, descending=True, stable=True)
    order = order[:, :post_nms_topk, None].expand(-1, -1, 4)
    best_boxes, best_logits = candidates.flatten(1, 2).gather(1, order), ranked[:, :post_nms_topk]

    diverged = ~(finite | ~present).all()
    numbers = torch.cat((keep.flatten(1).sum(dim=1), diverged[None]))
    # A trace keeps what is read as constants, but not what is sliced by a tensor.
    counts = list(numbers.unbind()) if torch.jit.is_tracing() else numbers.tolist()  # the only wait
    if counts.pop() and training:
        raise FloatingPointError(
            "Predicted boxes or scores contain Inf or NaN: training has diverged."
        )
    return [
        Instances(size, proposal_boxes=Boxes(b[:count]), objectness_logits=s[:count])
        for size, b, s, count in zip(image_sizes, best_boxes, best_logits, counts, strict=True)
    ]


def _best_of_levels(
    boxes: Sequence[Tensor],
    logits: Sequence[Tensor],
    may_propose: Sequence[Tensor] | None,
    topk: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """The ``topk`` best boxes of every level (N, L, P, 4), best first, their logits (N, L, P), and
    which of them are candidates (N, L, P): levels with fewer are filled up."""
    size = _at_most(topk, max(x.shape[1] for x in logits))  # P
    best_boxes, best_logits, present = [], [], []
    for level, (level_boxes, level_logits) in enumerate(zip(boxes, logits, strict=True)):
        count = _at_most(topk, level_logits.shape[1])
        if may_propose is not None:  # those that may not behind all others
            lowest = torch.finfo(level_logits.dtype).min
            level_logits = level_logits.masked_fill(~may_propose[level], lowest)
        values, index = level_logits.topk(count, dim=1)
        chosen = level_boxes.gather(1, index[..., None].expand(-1, -1, 4))
        exists = torch.ones_like(values, dtype=torch.bool)
        if may_propose is not None:
            exists = may_propose[level].gather(1, index)
        missing = size - count
        best_boxes.append(F.pad(chosen, (0, 0, 0, missing)))
        best_logits.append(F.pad(values, (0, missing)))
        present.append(F.pad(exists, (0, missing)))
    return torch.stack(best_boxes, 1), torch.stack(best_logits, 1), torch.stack(present, 1)


def _at_most(limit: int, count: int | Tensor) -> Any:
    """The less of both; ``count`` is a tensor in a trace, which would keep the one it had seen."""
    return count.clamp(max=limit) if isinstance(count, Tensor) else min(limit, count)
