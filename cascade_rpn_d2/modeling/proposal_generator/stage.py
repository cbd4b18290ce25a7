"""One stage of a cascade of proposals: align -> predict -> refine; while training also
assign -> sample -> take the losses.

All parts are values given to the stage, so that an ablation is another list of stages in a config
and not another class.

Shape shorthand: ``N`` images, ``A`` anchors a cell, ``Hi, Wi`` cells of level i, ``R`` boxes an
image (the sum of ``Hi*Wi*A``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from ..assignment import Assigner
from ..box_coder import BoxCoder
from ..box_losses import BoxLoss
from ..ground_truth import Grid
from ..refinement import Prediction, Refinement
from ..sampling import Sampler
from ..score_losses import ScoreLoss
from .predictor import BoxPredictor


@dataclass(frozen=True)
class StageState:
    """All that travels between the stages.

    Attributes:
        boxes: (N, R, 4) XYXY in pixels, without gradient.
        features: one (N, C, Hi, Wi) map a level, what the next stage reads unless it names others.
    """

    boxes: Tensor
    features: list[Tensor]


class Stage(Refinement):
    """Refines every box once, and scores the result if it is told to classify.

    Args:
        align: module that aligns features to boxes, see :mod:`.alignment`.
        predictor: reads deltas and objectness off the aligned features.
        box_coder: codes deltas; holds the regression statistics of this stage.
        assigner: decides which box learns which object.
        sampler: decides which boxes enter the losses, and their normaliser.
        box_loss: regression loss of the positive samples.
        cls_loss: classification loss of all samples; binary cross entropy by default.
        loc_weight: weight of the regression loss (10 in Cascade RPN, 7 beneath a detector).
        cls_weight: weight of the classification loss (1, or 0.7 beneath a detector).
        border: boxes that reach more than this many pixels beyond the image teach nothing; None
            lets all boxes teach.
        bridge: hand the aligned features on to the next stage, rather than the input features.
        in_features: names of the L maps to read, instead of what the stage before hands on.
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
        cls_loss: ScoreLoss | None = None,
        loc_weight: float = 10.0,
        cls_weight: float = 1.0,
        bridge: bool = False,
        border: float | None = None,
        in_features: Sequence[str] | None = None,
    ):
        super().__init__(
            box_coder=box_coder,
            assigner=assigner,
            sampler=sampler,
            box_loss=box_loss,
            cls_loss=cls_loss,
            loc_weight=loc_weight,
            cls_weight=cls_weight,
            border=border,
        )
        self.align = align
        self.predictor = predictor
        self.bridge = bridge
        self.in_features = None if in_features is None else list(in_features)

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
