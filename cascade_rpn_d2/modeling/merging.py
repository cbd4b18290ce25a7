"""What joins the detections of several views of an image to one set.

A merge maps the union of the detections, in pixels of one image, to those that remain, best first.

Shape shorthand: ``R`` detections of all views, ``D`` that remain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, get_args

from detectron2.layers import batched_nms
from detectron2.structures import Instances

from ..layers import soft_nms

Decay = Literal["linear", "gaussian"]


class Merge(Protocol):
    """What test-time augmentation expects of a merge."""

    def __call__(self, detections: Instances) -> Instances:
        """Merge.

        Args:
            detections: R of them, with ``pred_boxes`` that have an area, ``scores`` and
                ``pred_classes``; left as they are.

        Returns:
            D of them with the same fields, best first.
        """


@dataclass(frozen=True)
class NMSMerge:
    """Plain NMS in each class, as in Detectron2's test-time augmentation.

    The threshold is not that of the NMS in the detector, which need not suit whole detections: that
    of Grid R-CNN works on boxes that are refined afterwards.

    Args:
        iou_threshold: boxes of a larger IoU with a better one are suppressed.
        score_threshold: detections need a higher score.
        topk: how many detections of an image are kept, the best.
    """

    iou_threshold: float = 0.5
    score_threshold: float = 0.0
    topk: int = 100

    def __post_init__(self) -> None:
        _check(self.iou_threshold, self.score_threshold, self.topk)

    def __call__(self, detections: Instances) -> Instances:
        """See :class:`Merge`; scores stay what they are."""
        scored = detections[detections.scores > self.score_threshold]
        keep = batched_nms(
            scored.pred_boxes.tensor, scored.scores, scored.pred_classes, self.iou_threshold
        )
        return scored[keep[: self.topk]]


@dataclass(frozen=True)
class SoftNMSMerge:
    """Soft-NMS in each class: detections that overlap a better one lose score, rather than go.

    The defaults are those of CPM R-CNN's authors. Theirs keeps all detections that tie with the
    last one of ``topk``; here as many as ``topk`` says.

    Args:
        method: how a score decays with the IoU with a better detection: ``"linear"``, by 1 - IoU
            beyond the threshold, or ``"gaussian"``, by exp(-IoU^2 / sigma).
        iou_threshold: of the linear decay.
        sigma: of the Gaussian decay.
        min_score: detections go when their score has decayed below it.
        score_threshold: detections need a higher score than this before any decay.
        topk: how many detections of an image are kept, those with the best scores that are left.
    """

    method: Decay = "linear"
    iou_threshold: float = 0.5
    sigma: float = 0.5
    min_score: float = 1e-4
    score_threshold: float = 0.03
    topk: int = 100

    def __post_init__(self) -> None:
        _check(self.iou_threshold, self.score_threshold, self.topk)
        if self.method not in get_args(Decay):
            raise ValueError(f"method is 'linear' or 'gaussian', not {self.method!r}.")
        if not self.sigma > 0 or not self.min_score >= 0:
            raise ValueError(
                "sigma must be positive and min_score not negative, but they are "
                f"sigma={self.sigma}, min_score={self.min_score}."
            )

    def __call__(self, detections: Instances) -> Instances:
        """See :class:`Merge`; scores are those that are left."""
        scored = detections[detections.scores > self.score_threshold]
        scores = soft_nms(
            scored.pred_boxes.tensor,
            scored.scores,
            scored.pred_classes,
            method=self.method,
            iou_threshold=self.iou_threshold,
            sigma=self.sigma,
            min_score=self.min_score,
        )
        best, order = scores.sort(descending=True, stable=True)
        order = order[best > 0][: self.topk]
        merged = scored[order]
        merged.scores = scores[order]
        return merged


def _check(iou_threshold: float, score_threshold: float, topk: int) -> None:
    if not 0 <= iou_threshold <= 1 or not 0 <= score_threshold < 1:
        raise ValueError(
            "0 <= iou_threshold <= 1 and 0 <= score_threshold < 1 must hold, not "
            f"iou_threshold={iou_threshold}, score_threshold={score_threshold}."
        )
    if not isinstance(topk, int) or topk < 1:
        raise ValueError(f"topk must be a positive integer, not {topk!r}.")
