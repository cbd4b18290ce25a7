"""The 1x1 convolutions that read objectness and box deltas off the aligned features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..initialize import initialize
from ..refinement import Prediction


class BoxPredictor(nn.Module):
    """Predicts for every anchor of a cell four deltas and, if asked to, its objectness.

    Args:
        in_channels: channels of the aligned maps.
        num_anchors: A, boxes per cell.
        objectness: whether to classify. Only the last stage of Cascade RPN does.
        prior_probability: of an object, that is predicted for every box at first. The focal loss
            sums over so many negatives that it takes a small one, 0.01 in RetinaNet.

    Raises:
        ValueError: if the prior probability is not between 0 and 1.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        num_anchors: int = 1,
        objectness: bool = True,
        prior_probability: float = 0.5,
    ):
        super().__init__()
        if not 0 < prior_probability < 1:
            raise ValueError(f"prior_probability lies between 0 and 1, not {prior_probability}.")
        self.num_anchors = num_anchors
        self.deltas = nn.Conv2d(in_channels, num_anchors * 4, 1)
        # A layer that no loss reaches would stall distributed training, so there is none.
        self.objectness = nn.Conv2d(in_channels, num_anchors, 1) if objectness else None
        initialize(self.deltas)
        if self.objectness is not None:
            initialize(self.objectness, prior_probability)

    def forward(self, features: Sequence[Tensor]) -> Prediction:
        """Predict from one (N, C, Hi, Wi) map a level, fastest from channels-last ones.

        Both layers' weights are read, but the layers are not called: hooks on them do not run.
        """
        # One product reads a map once: (N, C, Hi, Wi) -> (N, Hi, Wi, A*5) -> (N, Hi*Wi, A*5)
        levels = [self._product(x.permute(0, 2, 3, 1)).flatten(1, 2) for x in features]
        both = torch.cat(levels, dim=1)
        deltas = both[..., : self.num_anchors * 4].reshape(len(both), -1, 4)
        logits = both[..., self.num_anchors * 4 :].flatten(1)
        return Prediction(deltas, None if self.objectness is None else logits)

    def of_rows(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Predict from the features (M, C) of single cells.

        Returns:
            Deltas (M, A, 4) and logits (M, A); the latter (M, 0) without objectness.
        """
        deltas, logits = self._product(rows).tensor_split([self.num_anchors * 4], dim=1)
        return deltas.unflatten(1, (self.num_anchors, 4)), logits

    def _product(self, rows: Tensor) -> Tensor:
        """Deltas and objectness (..., A*5) of features (..., C)."""
        weight, bias = self.deltas.weight, cast(Tensor, self.deltas.bias)
        if self.objectness is not None:
            weight = torch.cat((weight, self.objectness.weight))
            bias = torch.cat((bias, cast(Tensor, self.objectness.bias)))
        return F.linear(rows, weight.flatten(1), bias)  # (A*5, C, 1, 1) -> (A*5, C)
