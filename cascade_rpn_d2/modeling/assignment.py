"""Which box learns which object.

An assigner maps the boxes of a batch to an :class:`Assignment`. It is a plain object without
parameters; all of them work on the whole batch, without a loop over images and without reading a
number back from the device. Where objects are so many that to compare them with all boxes at once
would take more than half a gigabyte, they come in parts.

Shape shorthand: ``N`` images, ``G`` objects an image (padded), ``A`` anchors a cell, ``Hi, Wi``
cells of level i, ``R`` boxes an image: the sum of ``Hi*Wi*A`` over the levels, finest level first,
cells row by row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import torch
from torch import Tensor

from ..layers import box_area, pairwise_box_iou
from .ground_truth import Grid, GroundTruth
from .variable_iou import variable_iou

POSITIVE, NEGATIVE, IGNORED = 1, 0, -1

# Of an object with a place, at once; each takes about 24 bytes. More objects come in parts.
_COMPARISONS = 2**24


@dataclass(frozen=True)
class Assignment:
    """What every box of a batch has to learn.

    Attributes:
        labels: (N, R) int8: 1 positive, 0 negative, -1 ignored.
        matched: (N, R) int64, index of the object a positive box learns; meaningless for the rest.
    """

    labels: Tensor
    matched: Tensor


class Assigner(Protocol):
    """What a stage expects of an assigner."""

    def __call__(
        self,
        boxes: Tensor,
        truth: GroundTruth,
        grids: Sequence[Grid],
        num_anchors: int,
        valid: Tensor,
    ) -> Assignment:
        """Assign the objects of a batch.

        Args:
            boxes: (N, R, 4), the boxes that will be regressed, in pixels.
            truth: the objects, N images.
            grids: the levels the boxes come from.
            num_anchors: A, boxes per cell.
            valid: (N, R) bool; boxes that are not valid are ignored.
        """


ClaimRule = Literal["match", "label"]


class IoUAssigner:
    """Anchor-based assignment by IoU, as in Faster R-CNN (Cascade RPN, section 4.2).

    A box whose best IoU reaches ``positive_iou`` learns that object, one below ``negative_iou`` is
    background, one between is ignored. Then every object whose best IoU reaches
    ``min_positive_iou`` claims all boxes that attain it; where several objects claim a box, the
    last one has it.

    Why not Detectron2's ``Matcher``: its low-quality step has no least IoU, so that an object which
    no box overlaps makes all of them positive, and leaves the claimed box with the object it
    overlaps most.

    Args:
        positive_iou: least IoU of a positive box (0.7 in stage 2, 0.75 in a third stage).
        negative_iou: a best IoU below this is background.
        min_positive_iou: least IoU at which an object claims its best boxes; None claims nothing.
            With 0, as RetinaNets have it, an object that no box overlaps claims all of them, as in
            the reference implementation.
        claims: whether a box that an object claims will ``"match"`` it (mmdet), or is a positive
            by its ``"label"`` alone and learns the object that it overlaps most (py-faster-rcnn,
            Detectron2).

    Raises:
        ValueError: if the thresholds are in no order, or ``claims`` is neither.
    """

    def __init__(
        self,
        positive_iou: float = 0.7,
        negative_iou: float = 0.7,
        min_positive_iou: float | None = 0.3,
        *,
        claims: ClaimRule = "match",
    ):
        if claims not in get_args(ClaimRule):
            raise ValueError(f"claims is 'match' or 'label', not {claims!r}.")
        if not 0 <= negative_iou <= positive_iou <= 1:
            raise ValueError(
                "0 <= negative_iou <= positive_iou <= 1 must hold, not "
                f"negative_iou={negative_iou}, positive_iou={positive_iou}."
            )
        self.positive_iou = positive_iou
        self.negative_iou = negative_iou
        self.min_positive_iou = min_positive_iou
        self.claims = claims

    def __call__(
        self,
        boxes: Tensor,
        truth: GroundTruth,
        grids: Sequence[Grid],
        num_anchors: int,
        valid: Tensor,
    ) -> Assignment:
        """See :class:`Assigner`."""
        best_iou, matched, claimant = self._compare_all(boxes, truth, grids, valid)
        labels = torch.full_like(matched, IGNORED, dtype=torch.int8)
        labels.masked_fill_(best_iou < self.negative_iou, NEGATIVE)
        labels.masked_fill_(best_iou >= self.positive_iou, POSITIVE)

        if claimant is not None:
            claimed = claimant >= 0
            labels.masked_fill_(claimed, POSITIVE)
            if self.claims == "match":
                matched = torch.where(claimed, claimant, matched)

        return Assignment(labels.masked_fill_(~valid, IGNORED), matched)

    def _compare_all(
        self, boxes: Tensor, truth: GroundTruth, grids: Sequence[Grid], valid: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """What :meth:`_compare` finds, of all objects, part by part."""
        parts = truth.parts(_at_once(valid.numel()))
        _, part = next(parts)  # there is a place for an object at least
        best_iou, matched, claimant = self._compare(boxes, part, grids, valid)
        for first, part in parts:
            iou, index, later = self._compare(boxes, part, grids, valid)
            better = ~(iou <= best_iou)  # NaN too, which stays
            matched = torch.where(better, index + first, matched)
            best_iou = torch.maximum(best_iou, iou)
            if claimant is not None and later is not None:
                claimant = torch.where(later >= 0, later + first, claimant)
        return best_iou, matched, claimant

    def _compare(
        self, boxes: Tensor, truth: GroundTruth, grids: Sequence[Grid], valid: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Of every box (N, R) its best IoU, with which object, the first of equal ones, and the
        last object that claims it, -1 for none; None where no object may."""
        iou = self._overlaps(boxes, truth.boxes, grids)  # (N, G, R)
        iou.masked_fill_(~(truth.valid[:, :, None] & valid[:, None, :]), -1.0)
        best_iou, matched = iou.max(dim=1)
        if self.min_positive_iou is None:
            return best_iou, matched, None
        best_of_object = iou.amax(dim=2, keepdim=True)  # (N, G, 1)
        claims = (iou == best_of_object) & (best_of_object >= self.min_positive_iou)
        claims &= truth.valid[:, :, None]
        return best_iou, matched, _last_object(claims)

    def _overlaps(self, boxes: Tensor, objects: Tensor, grids: Sequence[Grid]) -> Tensor:
        """Overlap (N, G, R) of ``objects`` (N, G, 4) with ``boxes`` (N, R, 4)."""
        return pairwise_box_iou(objects, boxes)


# The shapes of RetinaNet's nine anchors: three sizes an octave, three ratios of height to width.
OCTAVE_SCALES = (1.0, 2 ** (1 / 3), 2 ** (2 / 3))
ASPECT_RATIOS = (0.5, 1.0, 2.0)


class VariableIoUAssigner(IoUAssigner):
    """Assignment to boxes whose shape is still to be predicted (Guided Anchoring, section 3.4).

    The overlap of a place with an object is vIoU, the best IoU that any box centred there could
    have with it (equation 5). As in the paper, it is approximated by the best of a few shapes.

    The boxes have to be those of an anchor generator, one a cell, see :func:`variable_iou`.

    Args:
        positive_iou, negative_iou, min_positive_iou: as of :class:`IoUAssigner`, of the vIoU.
        octave_scales: sizes of the shapes, relative to the box at the place.
        aspect_ratios: of the shapes, height to width. Every size is tried in every ratio.
    """

    def __init__(
        self,
        positive_iou: float = 0.7,
        negative_iou: float = 0.3,
        min_positive_iou: float | None = 0.3,
        *,
        octave_scales: Sequence[float] = OCTAVE_SCALES,
        aspect_ratios: Sequence[float] = ASPECT_RATIOS,
    ):
        super().__init__(positive_iou, negative_iou, min_positive_iou)
        self.octave_scales = tuple(octave_scales)
        self.aspect_ratios = tuple(aspect_ratios)
        if not self.octave_scales or not self.aspect_ratios:
            raise ValueError("vIoU needs at least one octave scale and one aspect ratio to try.")

    def _overlaps(self, boxes: Tensor, objects: Tensor, grids: Sequence[Grid]) -> Tensor:
        cells = sum(grid.cells for grid in grids)
        if boxes.shape[1] != cells:
            raise ValueError(
                f"vIoU is of one box a cell, not of {boxes.shape[1]} boxes for {cells} cells."
            )
        return variable_iou(objects, boxes, grids, self.octave_scales, self.aspect_ratios)


AdjacentIgnore = Literal["all", "negatives", "none"]
OverlapRule = Literal["last", "center"]


class RegionAssigner:
    """Anchor-free assignment by position, as in Guided Anchoring (Cascade RPN, section 4.2).

    Every object belongs to one level by its size. On that level, the cells in the middle of the
    object (its *centre region*) learn it and those around (its *ignore region*) are ignored. The
    object's ignore region on the two adjacent levels is ignored too.

    Args:
        center_ratio: side of the centre region relative to the object's (sigma_ctr).
        ignore_ratio: side of the ignore region relative to the object's (sigma_ign).
        anchor_scale: side of the anchors in strides; an object's level is the one whose anchors
            have its size.
        adjacent: what the adjacent levels ignore: ``"all"`` boxes in the region, also those which
            learn another object (mmdet >= 2.8, the published weights); ``"negatives"`` only (as the
            paper of Guided Anchoring has it); ``"none"`` (what the authors' code comes to, and so
            the paper's numbers).
        overlap: what decides where objects of one level overlap: the ``"last"`` of them (all
            released codes), or whether the cell is in the ``"center"`` region of any (the paper of
            Guided Anchoring, and independent of their order).
        keep_border: give an object whose middle rounds to the far edge of the map the cells there,
            rather than none.
        legacy_edges: edges of the regions as the authors' code rounds them, with cell centres half
            a stride inside; goes with anchors whose offset is 0.5. Implies ``keep_border``.
    """

    def __init__(
        self,
        center_ratio: float = 0.2,
        ignore_ratio: float = 0.5,
        *,
        anchor_scale: float = 8.0,
        adjacent: AdjacentIgnore = "all",
        overlap: OverlapRule = "last",
        keep_border: bool = False,
        legacy_edges: bool = False,
    ):
        if not 0 < center_ratio <= ignore_ratio:
            raise ValueError(
                "0 < center_ratio <= ignore_ratio must hold, not "
                f"center_ratio={center_ratio}, ignore_ratio={ignore_ratio}."
            )
        if adjacent not in get_args(AdjacentIgnore):
            raise ValueError(f"adjacent is 'all', 'negatives' or 'none', not {adjacent!r}.")
        if overlap not in get_args(OverlapRule):
            raise ValueError(f"overlap is 'last' or 'center', not {overlap!r}.")
        self.center_ratio = center_ratio
        self.ignore_ratio = ignore_ratio
        self.anchor_scale = anchor_scale
        self.adjacent = adjacent
        self.overlap = overlap
        self.keep_border = keep_border or legacy_edges
        self.legacy_edges = legacy_edges

    def __call__(
        self,
        boxes: Tensor,
        truth: GroundTruth,
        grids: Sequence[Grid],
        num_anchors: int,
        valid: Tensor,
    ) -> Assignment:
        """See :class:`Assigner`; the boxes themselves do not matter here, only their cells."""
        levels = object_levels(truth.boxes, [g.stride for g in grids], self.anchor_scale)
        labels, matched = [], []
        for index, grid in enumerate(grids):
            level_labels, level_matched = self._assign_level(truth, levels, index, grid)
            labels.append(level_labels.flatten(1).repeat_interleave(num_anchors, dim=1))
            matched.append(level_matched.flatten(1).repeat_interleave(num_anchors, dim=1))
        all_labels = torch.cat(labels, dim=1).masked_fill_(~valid, IGNORED)
        return Assignment(all_labels, torch.cat(matched, dim=1))

    def _assign_level(
        self, truth: GroundTruth, levels: Tensor, index: int, grid: Grid
    ) -> tuple[Tensor, Tensor]:
        """Labels and matched objects (N, Hi, Wi) of one level."""
        own = truth.valid & (levels == index)  # (N, G)
        ignore_y, ignore_x = self._region(truth.boxes, grid, self.ignore_ratio)
        center_y, center_x = self._region(truth.boxes, grid, self.center_ratio)
        around = _last_around(ignore_y & own[..., None], ignore_x)  # (N, Hi, Wi)
        middle = _last_around(center_y & own[..., None], center_x)
        positive = middle >= 0
        if self.overlap == "last":
            # The centre region lies within the ignore region, so the last object around a cell
            # either has it in its middle too or takes it away from all earlier ones.
            positive &= middle == around
        labels = torch.full_like(around, NEGATIVE, dtype=torch.int8)
        labels.masked_fill_(around >= 0, IGNORED)
        labels.masked_fill_(positive, POSITIVE)
        if self.adjacent != "none":
            near = truth.valid & ((levels - index).abs() == 1)
            ignored = _covered(ignore_y & near[..., None], ignore_x)
            if self.adjacent == "negatives":
                ignored &= labels == NEGATIVE
            labels.masked_fill_(ignored, IGNORED)
        return labels, middle.clamp_(min=0)

    def _region(self, boxes: Tensor, grid: Grid, ratio: float) -> tuple[Tensor, Tensor]:
        """Rows (N, G, Hi) and columns (N, G, Wi) of the middle ``ratio`` of every box, as bool."""
        x1, y1, x2, y2 = boxes.unbind(-1)
        columns = self._span(x1, x2, grid.width, grid.stride, ratio)
        rows = self._span(y1, y2, grid.height, grid.stride, ratio)
        return rows, columns

    def _span(self, low: Tensor, high: Tensor, size: int, stride: int, ratio: float) -> Tensor:
        """Cells (N, G, size) in the middle ``ratio`` of intervals ``low`` to ``high`` (N, G)."""
        if self.legacy_edges:
            low, high = (low + 0.5) / stride - 0.5, (high - 0.5) / stride - 0.5
        else:
            low, high = low / stride, high / stride
        margin = (1 - ratio) / 2
        first = torch.round((1 - margin) * low + margin * high)
        last = torch.round(margin * low + (1 - margin) * high)
        limit = size - 1 if self.keep_border else size  # where there is no cell
        first, last = first.clamp(0, limit), last.clamp(0, limit)
        cells = torch.arange(size, device=low.device)
        return (cells >= first[..., None]) & (cells <= last[..., None])


def object_levels(boxes: Tensor, strides: Sequence[int], anchor_scale: float) -> Tensor:
    """The level every object belongs to by its size (Guided Anchoring, section 3.4).

    Args:
        boxes: (..., 4) in pixels.
        strides: stride of every level in pixels, each twice the one before.
        anchor_scale: side of the anchors in strides.

    Returns:
        (...,) int64, index of the level whose anchors are nearest in size on a logarithmic scale.
    """
    scale = box_area(boxes).clamp(min=1e-6).sqrt()
    level = torch.floor(scale.log2() - math.log2(anchor_scale * strides[0]) + 0.5)
    return level.clamp(0, len(strides) - 1).long()


def _last_object(claims: Tensor) -> Tensor:
    """Index of the last object that claims a place, -1 for none: (N, G, ...) bool -> (N, ...)."""
    number = torch.arange(1, claims.shape[1] + 1, device=claims.device, dtype=torch.int32)
    number = number.view(-1, *[1] * (claims.dim() - 2))
    return (claims * number).amax(dim=1).long() - 1


def _last_around(rows: Tensor, columns: Tensor) -> Tensor:
    """Index of the last object, -1 for none, in whose rows (N, G, Hi) and columns (N, G, Wi) a cell
    (N, Hi, Wi) lies."""
    count = _at_once(len(rows) * rows.shape[2] * columns.shape[2])
    if rows.shape[1] <= count:
        return _last_object(_outer(rows, columns))
    last = torch.full_like(_outer(rows[:, 0], columns[:, 0]), -1, dtype=torch.long)
    for first in range(0, rows.shape[1], count):
        objects = slice(first, first + count)
        found = _last_object(_outer(rows[:, objects], columns[:, objects]))
        last = torch.where(found >= 0, found + first, last)
    return last


def _outer(rows: Tensor, columns: Tensor) -> Tensor:
    """(..., Hi), (..., Wi) -> (..., Hi, Wi), all bool."""
    return rows[..., :, None] & columns[..., None, :]


def _at_once(places: int) -> int:
    """How many objects of every image to compare with all ``places`` of a batch at once."""
    return max(1, _COMPARISONS // max(1, places))


def _covered(rows: Tensor, columns: Tensor) -> Tensor:
    """Cells (N, Hi, Wi) in the rows and columns of any object: a product of matrices, as counting
    takes no (N, G, Hi, Wi) in memory."""
    return torch.einsum("ngh,ngw->nhw", rows.float(), columns.float()) > 0
