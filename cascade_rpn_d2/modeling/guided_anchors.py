"""Where anchors are and which shape they have: what all heads with guided anchors share.

Shape shorthand: ``N`` images, ``G`` objects an image (padded), ``L`` levels, ``C`` channels, ``Hi,
Wi`` cells of level i, ``S`` cells an image: the sum of ``Hi*Wi``, ``R`` anchors an image: ``S``
times those of a cell, ``M`` active cells of the batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .assignment import NEGATIVE, POSITIVE
from .box_coder import BoxCoder
from .ground_truth import Grid, GroundTruth
from .initialize import initialize
from .region_assignment import RegionAssigner
from .score_losses import ScoreLoss, SigmoidFocalLoss

# Numbers that a shape branch predicts for a cell: width and height, or the centre too.
SHAPE_CHANNELS = {"size": 2, "box": 4}


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
            labels = self.assigner.assign_cells(truth, grids).labels
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
    initialize(conv, prior)
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


@torch.no_grad()
def decode_anchors(squares: Tensor, shapes: Sequence[Tensor], coder: BoxCoder) -> Tensor:
    """The anchors of all cells, without gradient: nothing but the loss of the shapes moves them.

    Args:
        squares: (N, S, 4), what the shapes are relative to, in pixels.
        shapes: L maps (N, 2 or 4, Hi, Wi) of a shape branch.
        coder: decodes them.

    Returns:
        (N, S, 4) in pixels, not clipped.
    """
    return coder.decode(squares, shape_deltas(flatten_cells(shapes)))


@torch.no_grad()
def have_anchors(location: Tensor, threshold: float, own: Tensor | None = None) -> Tensor:
    """Which cells (N, S) have anchors at test: those whose ``location`` logits (N, S) are of a
    probability that reaches the ``threshold``, of the ``own`` cells (N, S) or of all."""
    active = location.float().sigmoid() >= threshold
    return active if own is None else active & own


def share_of(active: Tensor, own: Tensor | None) -> Tensor:
    """Share, a scalar, of the ``active`` cells (N, S) among the ``own`` (N, S), or among all."""
    return active.sum() / (active.numel() if own is None else own.sum())


class GuidedAnchors(NamedTuple):
    """The anchors of a batch, to look at or to measure.

    Attributes:
        grids: the L levels.
        anchors: (N, R, 4) in pixels, of all cells, not clipped.
        probability: (N, S) that there is an object's centre in a cell; ones without a location
            branch.
        active: (N, S) bool, the cells whose anchors take part at test.
    """

    grids: list[Grid]
    anchors: Tensor
    probability: Tensor
    active: Tensor


class Activity:
    """Counts in how many cells a model had anchors since it was last asked (Table 5).

    Cells that exist for other images of the batch count only with ``propose_in_padding``.

    Attributes:
        last: active cells of every image of the last batch.
    """

    def __init__(self) -> None:
        self.last: list[int] = []
        self.reset()

    def reset(self) -> None:
        """Start over."""
        self.images = self.cells = self.active = 0

    def update(self, active: Sequence[int], cells: Sequence[int]) -> None:
        """Count a batch.

        Args:
            active: active cells of every image.
            cells: cells of every image, active or not.
        """
        self.last = list(active)
        self.images += len(active)
        self.cells += sum(cells)
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
        counts: active cells of every level and image, L lists of N.
        per_image: active cells of every image.
    """

    def __init__(self, active: Tensor, grids: Sequence[Grid]):
        self._sizes = [grid.cells for grid in grids]
        levels = active.split(self._sizes, dim=1)
        self.masks = [
            x.unflatten(1, (grid.height, grid.width)) for x, grid in zip(levels, grids, strict=True)
        ]
        self.counts = torch.stack([x.sum(dim=1) for x in levels]).tolist()
        self.per_image = [sum(of_image) for of_image in zip(*self.counts, strict=True)]
        numbers = torch.arange(active.numel(), device=active.device).view_as(active)
        by_level = torch.cat([x.flatten() for x in numbers.split(self._sizes, dim=1)])
        places = torch.cat([x.flatten() for x in levels]).nonzero().squeeze(1)
        self.index = by_level[places]
        self.cell = self.index % active.shape[1]
        self._places = places

    def rows(self, maps: Sequence[Tensor]) -> Tensor:
        """What L ``maps`` (N, C, Hi, Wi) hold at the active cells, (M, C)."""
        found = []
        for x, places in self._by_level(maps):
            rows = x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])  # (N, C, Hi, Wi) -> (N*Hi*Wi, C)
            found.append(rows.index_select(0, places))
        return torch.cat(found)

    def neighborhoods(self, maps: Sequence[Tensor]) -> Tensor:
        """What L ``maps`` (N, C, Hi, Wi) hold in the 3x3 cells around the active ones, row by row
        and zero outside of the map, (M, 3*3*C)."""
        found = []
        for x, places in self._by_level(maps):
            channels, height, width = x.shape[1:]
            # (N, C, Hi, Wi) -> (N, Hi + 2, Wi + 2, C) -> (N*(Hi + 2)*(Wi + 2), C)
            rows = F.pad(x.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1)).reshape(-1, channels)
            image_row, column = places // width, places % width
            image, row = image_row // height, image_row % height
            corner = (image * (height + 2) + row) * (width + 2) + column  # upper left of the 3x3
            step = torch.arange(3, device=places.device)
            around = step[:, None] * (width + 2) + step  # (3, 3)
            index = corner[:, None] + around.flatten()  # (Mi, 9)
            found.append(rows.index_select(0, index.flatten()).view(len(index), 9 * channels))
        return torch.cat(found)

    def neighborhood_masks(self) -> list[Tensor]:
        """The cells that :meth:`neighborhoods` reads, (N, Hi, Wi) bool a level."""
        return [F.max_pool2d(x[:, None].float(), 3, 1, 1)[:, 0] > 0 for x in self.masks]

    def _by_level(self, maps: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Every map, and the places (Mi,) of its active cells among its N*Hi*Wi."""
        chosen = self._places.split([sum(of_level) for of_level in self.counts])
        start = 0
        for x, places, size in zip(maps, chosen, self._sizes, strict=True):
            yield x, places - start
            start += len(x) * size
