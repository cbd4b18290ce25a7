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
from .assignment import IGNORED, NEGATIVE, POSITIVE, Assigner, Assignment
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
        border: boxes that reach more than this many pixels beyond the image teach nothing (0 in
            section 3.3 of Faster R-CNN); None lets all boxes teach.
        match_across_border: whether an object may claim a box that teaches nothing, which then
            nothing learns, as in Detectron2 and in CPM R-CNN.
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
        border: float | None = None,
        match_across_border: bool = False,
    ):
        super().__init__()
        self.box_coder = box_coder
        self.assigner = assigner
        self.sampler = sampler
        self.box_loss = box_loss
        self.cls_loss = BinaryCrossEntropyLoss() if cls_loss is None else cls_loss
        self.loc_weight = loc_weight
        self.cls_weight = cls_weight
        self.border = border
        self.match_across_border = match_across_border

    @torch.no_grad()
    def refine(
        self, boxes: Tensor, prediction: Prediction, image_sizes: Tensor | None = None
    ) -> Tensor:
        """Refined boxes (N, R, 4), clipped if the ``image_sizes`` (N, 2) are given."""
        refined = self.box_coder.decode(boxes, prediction.deltas)
        return refined if image_sizes is None else clip_boxes(refined, image_sizes)

    @torch.no_grad()
    def assign(
        self,
        boxes: Tensor,
        truth: GroundTruth,
        grids: Sequence[Grid],
        valid: Tensor,
        image_sizes: Tensor,
    ) -> Assignment:
        """What every box has to learn; arguments as of :meth:`losses`."""
        num_anchors = boxes.shape[1] // sum(grid.cells for grid in grids)
        if self.border is None:
            return self.assigner(boxes, truth, grids, num_anchors, valid)
        end = image_sizes.flip(-1)[:, None] + self.border  # (N, 1, 2)
        inside = (boxes[..., :2] >= -self.border) & (boxes[..., 2:] < end)
        teach = valid & inside.all(dim=-1)
        compete = valid if self.match_across_border else teach
        assignment = self.assigner(boxes, truth, grids, num_anchors, compete)
        return Assignment(assignment.labels.where(teach, IGNORED), assignment.matched)

    def losses(
        self,
        boxes: Tensor,
        prediction: Prediction,
        truth: GroundTruth,
        grids: Sequence[Grid],
        valid: Tensor,
        image_sizes: Tensor,
    ) -> StageLosses:
        """Losses of the prediction for ``boxes``.

        Args:
            boxes: (N, R, 4) in pixels, the same number for every cell of the ``grids``.
            prediction: for these boxes.
            truth: the objects, N images.
            grids: the levels.
            valid: (N, R) bool; boxes that are not valid teach nothing.
            image_sizes: (N, 2) height and width in pixels, without padding.
        """
        with torch.no_grad():
            assignment = self.assign(boxes, truth, grids, valid, image_sizes)
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
