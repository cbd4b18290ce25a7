"""Where anchors are and which shape they have: what all heads with guided anchors share.

Shape shorthand: ``N`` images, ``G`` objects an image (padded), ``Hi, Wi`` cells of level i, ``S``
cells an image: the sum of ``Hi*Wi``, ``M`` active cells of the batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .assignment import NEGATIVE, POSITIVE, RegionAssigner
from .ground_truth import Grid, GroundTruth
from .score_losses import ScoreLoss, SigmoidFocalLoss


class LocationLoss:
    """Teaches in which cells anchors are worth having (Guided Anchoring, section 3.4).

    Cells in the middle of an object are positive, those around are ignored and the others are
    negative. Labels are what the paper says: mmdet >= 2.0 trains this branch with positives and
    negatives exchanged.

    Args:
        assigner: makes centre, ignore and outside regions of the objects.
        loss: of one cell.
        negative_weight: weight of a negative cell (the paper has none, its code 0.1).
        cells_per_unit: the sum is divided by the number of cells of the batch, ignored ones and
            padding included, over this. The code's balance between location and shape, with both
            weights 1, which its authors call the same as the paper's weights of 1 and 0.1.
        weight: of the loss, lambda 1 in equation 4.
    """

    def __init__(
        self,
        *,
        assigner: RegionAssigner,
        loss: ScoreLoss | None = None,
        negative_weight: float = 0.1,
        cells_per_unit: float = 200.0,
        weight: float = 1.0,
    ):
        self.assigner = assigner
        self.loss = SigmoidFocalLoss() if loss is None else loss
        self.negative_weight = negative_weight
        self.cells_per_unit = cells_per_unit
        self.weight = weight

    def __call__(self, logits: Tensor, truth: GroundTruth, grids: Sequence[Grid]) -> Tensor:
        """Loss, a scalar, of the ``logits`` (N, S) for the cells of the ``grids``."""
        with torch.no_grad():
            everywhere = torch.ones_like(logits, dtype=torch.bool)
            boxes = logits.new_zeros(1).expand(*logits.shape, 4)  # regions have no use for them
            labels = self.assigner(boxes, truth, grids, 1, everywhere).labels
            positive = labels == POSITIVE
            weights = positive + self.negative_weight * (labels == NEGATIVE)
        loss = self.loss(logits.float(), positive.float())
        return self.weight * self.cells_per_unit * (loss * weights).mean()


def location_conv(in_channels: int, prior: float = 0.01) -> nn.Conv2d:
    """The 1x1 convolution of a location branch, (N, C, H, W) -> (N, 1, H, W) logits.

    Args:
        in_channels: C.
        prior: probability that it predicts for every cell at first.
    """
    conv = nn.Conv2d(in_channels, 1, 1)
    nn.init.normal_(conv.weight, std=0.01)
    assert conv.bias is not None  # convolutions have one by default
    nn.init.constant_(conv.bias, -math.log((1 - prior) / prior))
    return conv


def flatten_cells(maps: Sequence[Tensor]) -> Tensor:
    """Levels in one row: L maps (N, C, Hi, Wi) -> (N, S, C), cells row by row."""
    return torch.cat([x.flatten(2).transpose(1, 2) for x in maps], dim=1)


def shape_deltas(shapes: Tensor) -> Tensor:
    """What a shape branch predicts, as deltas (dx, dy, dw, dh).

    Args:
        shapes: (..., 2) of width and height, whose anchors stay centred on their cells, or (..., 4)
            of a branch that predicts their centres too.

    Returns:
        (..., 4) float32 at least.
    """
    shapes = shapes if shapes.dtype == torch.float64 else shapes.float()
    return F.pad(shapes, (2, 0)) if shapes.shape[-1] == 2 else shapes


class Activity:
    """Counts in how many cells a model had anchors since it was last asked (Table 5).

    Attributes:
        last: active cells of every image of the last batch.
    """

    def __init__(self) -> None:
        self.last: list[int] = []
        self.reset()

    def reset(self) -> None:
        """Start over."""
        self.images = self.cells = self.active = 0

    def update(self, active: Sequence[int], cells: int) -> None:
        """Count a batch.

        Args:
            active: active cells of every image.
            cells: cells of an image, active or not.
        """
        self.last = list(active)
        self.images += len(active)
        self.cells += cells * len(active)
        self.active += sum(active)


class ActiveCells:
    """The cells of a batch in which there is an anchor, and what maps hold there.

    Making one waits for the device, to learn how many cells there are.

    Args:
        active: (N, S) bool.
        grids: the levels.

    Attributes:
        masks: (N, Hi, Wi) bool a level.
        index: (M,) int64, places of the active cells among the N*S of the batch. They are in the
            order of levels first, then images, then cells.
        cell: (M,) int64, places among the S cells of their image.
        per_image: active cells of every image.
    """

    def __init__(self, active: Tensor, grids: Sequence[Grid]):
        self._sizes = [grid.cells for grid in grids]
        levels = active.split(self._sizes, dim=1)
        self.masks = [
            x.unflatten(1, (grid.height, grid.width)) for x, grid in zip(levels, grids, strict=True)
        ]
        counts = torch.stack([x.sum(dim=1) for x in levels]).tolist()  # L lists of N
        self.per_image = [sum(of_image) for of_image in zip(*counts, strict=True)]
        self._per_level = [sum(of_level) for of_level in counts]
        numbers = torch.arange(active.numel(), device=active.device).view_as(active)
        by_level = torch.cat([x.flatten() for x in numbers.split(self._sizes, dim=1)])
        places = torch.cat([x.flatten() for x in levels]).nonzero().squeeze(1)
        self.index = by_level[places]
        self.cell = self.index % active.shape[1]
        self._places = places

    def rows(self, maps: Sequence[Tensor]) -> Tensor:
        """What L ``maps`` (N, C, Hi, Wi) hold at the active cells, (M, C)."""
        found, start = [], 0
        chosen = self._places.split(self._per_level)
        for x, places, size in zip(maps, chosen, self._sizes, strict=True):
            rows = x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])  # (N, C, Hi, Wi) -> (N*Hi*Wi, C)
            found.append(rows.index_select(0, places - start))
            start += len(x) * size
        return torch.cat(found)
