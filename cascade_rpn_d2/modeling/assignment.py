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

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import torch
from torch import Tensor

from ..layers import pairwise_box_iou
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
        ValueError: if the thresholds are in no order or no IoU, or ``claims`` is neither.
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
        if min_positive_iou is not None and not 0 <= min_positive_iou <= 1:
            raise ValueError(
                f"min_positive_iou is between 0 and 1, or None, not {min_positive_iou}."
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


def _last_object(claims: Tensor) -> Tensor:
    """Index of the last object that claims a place, -1 for none: (N, G, ...) bool -> (N, ...)."""
    number = torch.arange(1, claims.shape[1] + 1, device=claims.device, dtype=torch.int32)
    number = number.view(-1, *[1] * (claims.dim() - 2))
    return (claims * number).amax(dim=1).long() - 1


def _at_once(places: int) -> int:
    """How many objects of every image to compare with all ``places`` of a batch at once."""
    return max(1, _COMPARISONS // max(1, places))
