"""The 1x1 convolutions that read objectness and box deltas off the aligned features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .initialize import initialize


@dataclass(frozen=True)
class Prediction:
    """What a stage predicts for the R boxes of every image, all levels in one row.

    Attributes:
        deltas: (N, R, 4) in standard deviations of the stage's box coder.
        logits: (N, R) objectness, or None for a stage that does not classify.
    """

    deltas: Tensor
    logits: Tensor | None


class BoxPredictor(nn.Module):
    """Predicts for every anchor of a cell four deltas and, if asked to, its objectness.

    Args:
        in_channels: channels of the aligned maps.
        num_anchors: A, boxes per cell.
        objectness: whether to classify. Only the last stage of Cascade RPN does.
    """

    def __init__(self, in_channels: int, *, num_anchors: int = 1, objectness: bool = True):
        super().__init__()
        self.num_anchors = num_anchors
        self.deltas = nn.Conv2d(in_channels, num_anchors * 4, 1)
        # A layer that no loss reaches would stall distributed training, so there is none.
        self.objectness = nn.Conv2d(in_channels, num_anchors, 1) if objectness else None
        for layer in (self.deltas, self.objectness):
            if layer is not None:
                initialize(layer)

    def forward(self, features: Sequence[Tensor]) -> Prediction:
        """Predict from one (N, C, Hi, Wi) map a level."""
        # (N, A*4, Hi, Wi) -> (N, Hi, Wi, A*4) -> (N, Hi*Wi*A, 4)
        deltas = [self.deltas(x).permute(0, 2, 3, 1).reshape(len(x), -1, 4) for x in features]
        logits = None
        if self.objectness is not None:
            # (N, A, Hi, Wi) -> (N, Hi, Wi, A) -> (N, Hi*Wi*A)
            maps = [self.objectness(x).permute(0, 2, 3, 1).flatten(1) for x in features]
            logits = torch.cat(maps, dim=1)
        return Prediction(torch.cat(deltas, dim=1), logits)
