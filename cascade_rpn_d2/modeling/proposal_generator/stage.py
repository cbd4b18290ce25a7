"""One stage of a cascade of proposals: align -> predict -> refine; while training also
assign -> sample -> take the losses.

All parts are values given to the stage, so that an ablation is another list of stages in a config
and not another class.

Shape shorthand: ``N`` images, ``G`` objects an image (padded), ``A`` anchors a cell, ``Hi, Wi``
cells of level i, ``R`` boxes an image (the sum of ``Hi*Wi*A``), ``K`` samples an image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...layers import box_iou, clip_boxes
from ..assignment import NEGATIVE, POSITIVE, Assigner
from ..box_coder import BoxCoder
from ..box_losses import BoxLoss
from ..ground_truth import Grid, GroundTruth
from ..sampling import Sampler
from .predictor import BoxPredictor, Prediction


@dataclass(frozen=True)
class StageState:
    """All that travels between the stages.

    Attributes:
        boxes: (N, R, 4) XYXY in pixels, without gradient.
        features: one (N, C, Hi, Wi) map a level, what the next stage reads.
    """

    boxes: Tensor
    features: list[Tensor]


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


class Stage(nn.Module):
    """Refines every box once, and scores the result if it is told to classify.

    Args:
        align: module that aligns features to boxes, see :mod:`.alignment`.
        predictor: reads deltas and objectness off the aligned features.
        box_coder: codes deltas; holds the regression statistics of this stage.
        assigner: decides which box learns which object.
        sampler: decides which boxes enter the losses, and their normaliser.
        box_loss: regression loss of the positive samples.
        loc_weight: weight of the regression loss (10 in Cascade RPN, 7 beneath a detector).
        cls_weight: weight of the classification loss (1, or 0.7 beneath a detector).
        bridge: hand the aligned features on to the next stage, rather than the input features.
    """

    def __init__(
        self,
        *,
        align: nn.Module,
        predictor: BoxPredictor,
        box_coder: BoxCoder,
        assigner: Assigner,
        sampler: Sampler,
        box_loss: BoxLoss,
        loc_weight: float = 10.0,
        cls_weight: float = 1.0,
        bridge: bool = False,
    ):
        super().__init__()
        self.align = align
        self.predictor = predictor
        self.box_coder = box_coder
        self.assigner = assigner
        self.sampler = sampler
        self.box_loss = box_loss
        self.loc_weight = loc_weight
        self.cls_weight = cls_weight
        self.bridge = bridge

    @property
    def classifies(self) -> bool:
        """Whether the stage predicts objectness."""
        return self.predictor.objectness is not None

    def forward(self, state: StageState, grids: Sequence[Grid]) -> tuple[Prediction, list[Tensor]]:
        """Align and predict.

        Args:
            state: boxes and features from the stage before.
            grids: the L levels.

        Returns:
            The prediction for all boxes, and the features for the next stage.
        """
        counts = [grid.cells * self.predictor.num_anchors for grid in grids]
        boxes = state.boxes.split(counts, dim=1)
        aligned = self.align(state.features, boxes, [grid.stride for grid in grids])
        hidden = [F.relu_(x) for x in aligned]
        return self.predictor(hidden), hidden if self.bridge else state.features

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
        """Losses of this stage's prediction for ``boxes`` (N, R, 4); ``valid`` is (N, R) bool."""
        with torch.no_grad():
            assignment = self.assigner(boxes, truth, grids, self.predictor.num_anchors, valid)
            samples = self.sampler(assignment.labels)
            targets = truth.of(samples.take(assignment.matched))  # (N, K, 4)
            boxes = samples.take(boxes)
            positive = samples.labels == POSITIVE

        deltas = samples.take(prediction.deltas).float()
        loss = self.box_loss(deltas, boxes, targets, self.box_coder)
        losses = {"loc": _masked_sum(loss, positive) / samples.normalizer * self.loc_weight}
        if prediction.logits is not None:
            logits = samples.take(prediction.logits).float()
            loss = F.binary_cross_entropy_with_logits(logits, positive.float(), reduction="none")
            chosen = positive | (samples.labels == NEGATIVE)
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
