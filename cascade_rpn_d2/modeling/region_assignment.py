"""Which box learns which object by where the box is centred, whatever its size.

Shape shorthand: ``N`` images, ``G`` objects an image (padded), ``A`` anchors a cell, ``Hi, Wi``
cells of level i, ``Ri`` boxes of level i: ``Hi*Wi*A``, ``R`` boxes an image: the sum of ``Ri``,
finest level first, cells row by row, ``S`` cells an image: the sum of ``Hi*Wi``, ``P`` places on an
axis.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from ..layers import box_area
from .assignment import IGNORED, POSITIVE, Assignment
from .ground_truth import Grid, GroundTruth

AdjacentIgnore = Literal["all", "negatives", "none"]
OverlapRule = Literal["last", "center"]

# Objects of an image that are looked up at once: two bits each of a number that float64 holds.
_OBJECTS = 26
_CENTERS = sum(2 * 4**index for index in range(_OBJECTS))  # the bits of their centre regions
# How far beyond the map edges of anchors are, in strides, that are still rounded well enough.
_REACH = 64


class RegionAssigner:
    """Anchor-free assignment by position, as in Guided Anchoring (Cascade RPN, section 4.2).

    Every object belongs to one level by its size. On that level, the boxes centred in the middle of
    the object (its *centre region*) learn it and those centred around (its *ignore region*) are
    ignored. The object's ignore region on the two adjacent levels is ignored too. Regions begin and
    end at cells, which belong to them, and a box between two cells is in a region that has both.

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
            released codes), or whether the box is in the ``"center"`` region of any (the paper of
            Guided Anchoring, and independent of their order).
        keep_border: give an object whose middle rounds to the far edge of the map the cells there,
            rather than none.
        legacy_edges: edges of the regions as the authors' code rounds them, with cell centres half
            a stride inside; goes with anchors whose offset is 0.5. Implies ``keep_border``.
        center_offset: where in a cell the anchors are centred, in strides: a box with that centre
            is on its cell. The default is 0.5 with ``legacy_edges`` and 0 without.
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
        center_offset: float | None = None,
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
        self.center_offset = 0.5 * legacy_edges if center_offset is None else center_offset

    def __call__(
        self,
        boxes: Tensor,
        truth: GroundTruth,
        grids: Sequence[Grid],
        num_anchors: int,
        valid: Tensor,
    ) -> Assignment:
        """See :class:`.Assigner`; of the boxes only their centres and their levels matter."""
        counts = [grid.cells * num_anchors for grid in grids]
        of_levels = zip(boxes.split(counts, dim=1), grids, strict=True)
        return self._assign([self._places(x, grid) for x, grid in of_levels], truth, grids, valid)

    def assign_cells(self, truth: GroundTruth, grids: Sequence[Grid]) -> Assignment:
        """Assign the objects to the S cells of the ``grids``, as to one anchor a cell."""
        places = []
        for grid in grids:
            column, row = (
                2 * torch.arange(size, device=truth.boxes.device) + 1
                for size in (grid.width, grid.height)
            )
            shape = (grid.height, grid.width)
            both = torch.stack((column.expand(shape), row[:, None].expand(shape)))
            places.append(both.flatten(1)[None])
        cells = sum(grid.cells for grid in grids)
        everywhere = truth.valid.new_ones((len(truth.valid), cells))
        return self._assign(places, truth, grids, everywhere)

    def _assign(
        self, places: Sequence[Tensor], truth: GroundTruth, grids: Sequence[Grid], valid: Tensor
    ) -> Assignment:
        """The objects assigned to boxes with centres at the ``places`` of L levels, each as
        :meth:`_places` has them.

        Whether a box is in a region depends on its column and its row alone, and regions end at
        cells. So it is looked up, for 26 objects at once, in which regions its column is and in
        which its row: as many numbers as there are boxes, however many objects there are.
        """
        levels = object_levels(truth.boxes, [g.stride for g in grids], self.anchor_scale)
        last = torch.zeros_like(valid, dtype=torch.long)
        around = ignored = torch.zeros_like(valid)
        for first, part in truth.parts(_OBJECTS):
            level = levels[:, first : first + _OBJECTS]
            own, near = [], []
            for index, regions in enumerate(self._regions(part.boxes, grids)):
                place = places[index].expand(len(valid), -1, -1)
                column, row = regions.gather(2, place).unbind(1)  # (N, Ri)
                inside = column & row
                own.append(inside & _bits(3 * (part.valid & (level == index)))[:, None])
                if self.adjacent != "none":
                    adjacent = part.valid & ((level - index).abs() == 1)
                    near.append(inside & _bits(3 * adjacent)[:, None])
            bits = torch.cat(own, dim=1)  # (N, R)
            if self.overlap == "center":
                around = around | (bits != 0)
                bits &= _CENTERS
            highest = _highest_bit(bits)
            last = torch.where(highest > 0, highest + 2 * first, last) if first else highest
            if near:
                ignored = ignored | (torch.cat(near, dim=1) != 0)

        # The centre region lies within the ignore region, so the last object around a box either
        # has it in its middle too or takes it away from all earlier ones.
        found = last > 0
        positive = found & ((last & 1) == 0)
        around = around | found
        if self.adjacent == "negatives":
            ignored = ignored & ~around
        labels = POSITIVE * positive.char() + IGNORED * (around & ~positive).char()
        labels.masked_fill_(ignored | ~valid, IGNORED)
        return Assignment(labels, ((last - 1) >> 1).clamp_(min=0))

    def _places(self, boxes: Tensor, grid: Grid) -> Tensor:
        """Where the centres of ``boxes`` (N, Ri, 4) are, x and y: (N, 2, Ri) int64, or (1, 2, Ri)
        where all images have the same boxes.

        Place ``2*i + 1`` is on cell i, ``2*i + 2`` between it and the next. What is beyond the
        cells is at the first or the last place, and so is what is not a number.
        """
        if boxes.stride(0) == 0:  # anchors
            boxes = boxes[:1]
        x1, y1, x2, y2 = boxes.unbind(-1)
        cell = torch.stack((x1 + x2, y1 + y2), dim=1).div_(2 * grid.stride).sub_(self.center_offset)
        nearest = cell.round()
        # The edges of an anchor are rounded each, so that its centre may miss its cell a little.
        size = max(grid.height, grid.width)
        error = 2 * torch.finfo(cell.dtype).eps * (size + _REACH)
        side = F.hardshrink(cell.sub_(nearest), error).sign_()  # -1, 0 or 1
        place = side.add_(nearest, alpha=2).nan_to_num_(nan=-1.0).clamp_(-1, 2 * size + 1)
        return place.long().add_(1)

    def _regions(self, objects: Tensor, grids: Sequence[Grid]) -> Iterator[Tensor]:
        """In the regions of which ``objects`` (N, G, 4) a column and a row of every level is, L
        tensors (N, 2, P) of int64: an object has a bit for its ignore region and the next higher
        one for its centre region."""
        sizes = torch.tensor([(g.stride, g.width, g.height) for g in grids], dtype=objects.dtype)
        sizes = sizes.to(objects.device, non_blocking=True)
        stride, limit = sizes[:, :1], sizes[:, 1:]  # (L, 1), (L, 2): a limit is where no cell is
        if self.keep_border:
            limit = limit - 1
        low, high = objects[:, :, None, :2], objects[:, :, None, 2:]  # (N, G, 1, 2)
        if self.legacy_edges:
            low, high = (low + 0.5) / stride - 0.5, (high - 0.5) / stride - 0.5
        else:
            low, high = low / stride, high / stride
        spans = []
        for ratio in (self.ignore_ratio, self.center_ratio):
            margin = (1 - ratio) / 2
            first = torch.round((1 - margin) * low + margin * high)
            last = torch.round(margin * low + (1 - margin) * high)
            # (N, G, L, 2) each
            first, last = (2 * torch.minimum(x.clamp_(min=0), limit) for x in (first, last))
            spans.append((first[..., None], last[..., None]))
        for index, grid in enumerate(grids):
            place = torch.arange(-1, 2 * max(grid.height, grid.width) + 2, device=objects.device)
            ignore, center = (
                (place >= first[:, :, index]) & (place <= last[:, :, index])  # (N, G, 2, P)
                for first, last in spans
            )
            yield _bits(ignore + 2 * center)


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


def _bits(pairs: Tensor) -> Tensor:
    """Numbers (N, G, ...) from 0 to 3 of at most 26 objects as the bits of int64 (N, ...)."""
    weight = 4 ** torch.arange(pairs.shape[1], device=pairs.device)
    return (pairs * weight.view(-1, *[1] * (pairs.dim() - 2))).sum(dim=1)


def _highest_bit(bits: Tensor) -> Tensor:
    """Which is the highest of the ``bits`` (N, R), from 1; 0 where there is none.

    A number of 52 bits is a float64, whose exponent is in its own bits from 52 on. `torch.frexp`
    would say it too, and make a mantissa.
    """
    return (bits.double().view(torch.int64) >> 52).clamp_(min=1022) - 1022
