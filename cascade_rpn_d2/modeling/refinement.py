"""What a prediction makes of boxes, and what it has to learn: assign -> sample -> take the losses.

It is the half of a stage of Cascade RPN that needs no features, and all that the shapes and the
proposals of Guided Anchoring need.

Shape shorthand: ``N`` images, ``G`` objects an image (padded), ``R`` boxes an image, ``K`` samples
an image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..layers import box_iou, clip_boxes
from .assignment import NEGATIVE, POSITIVE, Assigner
from .box_coder import BoxCoder
from .box_losses import BoxLoss
from .ground_truth import Grid, GroundTruth
from .sampling import Sampler
from .score_losses import BinaryCrossEntropyLoss, ScoreLoss


@dataclass(frozen=True)
class Prediction:
    """What a stage predicts for the R boxes of every image, all levels in one row.

    Attributes:
        deltas: (N, R, 4) in standard deviations of the stage's box coder.
        logits: (N, R) objectness; or (N, R, C), one of its own for each of C classes; or None for a
            stage that does not classify.
    """

    deltas: Tensor
    logits: Tensor | None


@dataclass(frozen=True)
class StageLosses:
    """What a stage has to say of a training batch; all values are scalar tensors.

    Attributes:
        losses: ``"loc"``, and ``"cls"`` if the stage classifies, weights included.
        statistics: ``"num_pos"``, positive samples an image, and ``"iou"``, mean IoU of the stage's
            refined boxes with their targets over the positive samples.
    """

    losses: dict[str, Tensor]
    statistics: dict[str, Tensor]


class Refinement(nn.Module):
    """Refines boxes by predicted deltas, and takes the losses of the prediction.

    Args:
        box_coder: codes deltas; holds the regression statistics.
        assigner: decides which box learns which object.
        sampler: decides which boxes enter the losses, and their normaliser.
        box_loss: regression loss of the positive samples.
        cls_loss: classification loss of all samples; binary cross entropy by default.
        loc_weight: weight of the regression loss.
        cls_weight: weight of the classification loss.
    """

    def __init__(
        self,
        *,
        box_coder: BoxCoder,
        assigner: Assigner,
        sampler: Sampler,
        box_loss: BoxLoss,
        cls_loss: ScoreLoss | None = None,
        loc_weight: float = 1.0,
        cls_weight: float = 1.0,
    ):
        super().__init__()
        self.box_coder = box_coder
        self.assigner = assigner
        self.sampler = sampler
        self.box_loss = box_loss
        self.cls_loss = BinaryCrossEntropyLoss() if cls_loss is None else cls_loss
        self.loc_weight = loc_weight
        self.cls_weight = cls_weight

    @torch.no_grad()
    def refine(
        self, boxes: Tensor, prediction: Prediction, image_sizes: Tensor | None = None
    ) -> Tensor:
        """Refined boxes (N, R, 4), clipped if the ``image_sizes`` (N, 2) are given."""
        refined = self.box_coder.decode(boxes, prediction.deltas)
        return refined if image_sizes is None else clip_boxes(refined, image_sizes)

    def losses(
        self,
        boxes: Tensor,
        prediction: Prediction,
        truth: GroundTruth,
        grids: Sequence[Grid],
        valid: Tensor,
    ) -> StageLosses:
        """Losses of the prediction for ``boxes`` (N, R, 4), the same number for every cell of the
        ``grids``; boxes that are not ``valid`` (N, R) teach nothing."""
        num_anchors = boxes.shape[1] // sum(grid.cells for grid in grids)
        with torch.no_grad():
            assignment = self.assigner(boxes, truth, grids, num_anchors, valid)
            samples = self.sampler(assignment.labels)
            targets = truth.of(samples.take(assignment.matched))  # (N, K, 4)
            boxes = samples.take(boxes)
            positive = samples.labels == POSITIVE

        deltas = samples.take(prediction.deltas).float()
        loss = self.box_loss(deltas, boxes, targets, self.box_coder)
        losses = {"loc": _masked_sum(loss, positive) / samples.normalizer * self.loc_weight}
        if prediction.logits is not None:
            logits = samples.take(prediction.logits).float()
            chosen = positive | (samples.labels == NEGATIVE)
            wanted = positive
            if logits.dim() == 3:
                classes = truth.classes_of(samples.take(assignment.matched))  # (N, K)
                every = torch.arange(logits.shape[2], device=classes.device)
                wanted = positive[..., None] & (classes[..., None] == every)
                chosen = chosen[..., None]
            loss = self.cls_loss(logits, wanted.float())
            losses["cls"] = _masked_sum(loss, chosen) / samples.normalizer * self.cls_weight

        with torch.no_grad():
            iou = box_iou(self.box_coder.decode(boxes, deltas), targets)
            count = positive.sum()
            statistics = {
                "num_pos": count / len(boxes),
                "iou": _masked_sum(iou, positive) / count.clamp(min=1),
            }
        return StageLosses(losses, statistics)


def _masked_sum(values: Tensor, mask: Tensor) -> Tensor:
    """Sum of ``values`` where ``mask``, without indexing, which would have to count first."""
    return torch.where(mask, values, 0.0).sum()
