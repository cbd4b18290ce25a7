"""The head of GA-RPN: where anchors are, which shape they have, and what is on them.

Shape shorthand: ``N`` images, ``A`` anchors a cell, ``Hi, Wi`` cells of level i, ``S`` cells an
image, ``R = S*A`` boxes an image, ``M`` active cells of the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch.nn.functional as F
from torch import Tensor, nn

from ..guided_anchors import SHAPE_CHANNELS, ActiveCells, flatten_cells, location_conv
from ..initialize import initialize
from ..refinement import Prediction
from .predictor import BoxPredictor

ShapeBranch = Literal["size", "box", "none"]


@dataclass(frozen=True)
class Guide:
    """What the location branch and the shape branch say of a batch.

    Attributes:
        features: one (N, C, Hi, Wi) map a level, which both branches have read.
        location: (N, S) logits that there is an object's centre in a cell; None without the branch.
        shapes: one (N, 2 or 4, Hi, Wi) map a level; None without the branch.
    """

    features: list[Tensor]
    location: Tensor | None
    shapes: list[Tensor] | None


class GuidedAnchorHead(nn.Module):
    """Anchors and what to make of them, with the same layers on all levels.

    As in the released code, both branches read the map after the head's 3x3 convolution.

    Args:
        in_channels: C, channels of the maps.
        num_anchors: A; more than one only without a shape branch, as it predicts one shape a cell.
        location: whether there is a location branch; without, all cells have anchors.
        shape: what the shape branch predicts: ``"size"``, width and height; ``"box"``, the centre
            too (Table 6, without centre alignment); ``"none"`` leaves the anchors as they are.
        adaption: adapts features to anchors, see :mod:`cascade_rpn_d2.modeling.feature_adaption`;
            None predicts from the maps that the branches have read.
        location_prior: probability of an object's centre that the branch starts with.

    Raises:
        ValueError: if the parts do not fit together.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        num_anchors: int = 1,
        location: bool = True,
        shape: ShapeBranch = "size",
        adaption: nn.Module | None = None,
        location_prior: float = 0.01,
    ):
        super().__init__()
        if shape not in get_args(ShapeBranch):
            raise ValueError(f"shape is 'size', 'box' or 'none', not {shape!r}.")
        if shape != "none" and num_anchors != 1:
            raise ValueError(
                f"A shape branch predicts one anchor a cell, not {num_anchors}: give shape='none', "
                "or an anchor generator with one size and one aspect ratio a level."
            )
        reads, predicted = getattr(adaption, "shape_channels", None), SHAPE_CHANNELS.get(shape, 0)
        if reads is not None and reads != predicted:
            raise ValueError(
                f"The adaption reads {reads} numbers of the shape, but shape={shape!r} predicts "
                f"{predicted}: give an adaption with shape_channels=2 for 'size', 4 for 'box', "
                "and one that reads no shape for 'none'."
            )
        self.conv = nn.Conv2d(in_channels, in_channels, 3, padding=1)
        initialize(self.conv)
        self.location = location_conv(in_channels, location_prior) if location else None
        self.shape = None if shape == "none" else nn.Conv2d(in_channels, SHAPE_CHANNELS[shape], 1)
        if self.shape is not None:
            initialize(self.shape)
        self.adaption = adaption
        self.predictor = BoxPredictor(in_channels, num_anchors=num_anchors)

    def forward(self, maps: Sequence[Tensor]) -> Guide:
        """Where anchors are and their shapes, from L maps (N, C, Hi, Wi)."""
        features = [F.relu_(self.conv(x)) for x in maps]
        location = shapes = None
        if self.location is not None:
            location = flatten_cells([self.location(x) for x in features]).squeeze(-1)
        if self.shape is not None:
            shapes = [self.shape(x) for x in features]
        return Guide(features, location, shapes)

    def predict(self, guide: Guide) -> Prediction:
        """Deltas and objectness of the R anchors of every image."""
        return self.predictor(self._adapt(guide, None))

    def predict_at(self, guide: Guide, cells: ActiveCells) -> tuple[Tensor, Tensor]:
        """The same at the active cells alone, at a cost in proportion to their number.

        Returns:
            Deltas (M, A, 4) and logits (M, A).
        """
        return self.predictor.of_rows(cells.rows(self._adapt(guide, cells.masks)))

    def _adapt(self, guide: Guide, masks: Sequence[Tensor] | None) -> list[Tensor]:
        """One (N, C, Hi, Wi) map a level, zero outside of the masks."""
        if self.adaption is None:
            return guide.features
        adapted = []
        for level, x in enumerate(guide.features):
            shape = None if guide.shapes is None else guide.shapes[level]
            mask = None if masks is None else masks[level]
            adapted.append(F.relu_(self.adaption(x, shape, mask)))
        return adapted
