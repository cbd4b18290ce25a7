"""vIoU: how well a box centred in a cell could overlap an object, whatever its shape (equation 5 of
Guided Anchoring).

Shape shorthand: ``N`` images, ``G`` objects an image (padded), ``Hi, Wi`` cells of level i, ``S``
cells an image: the sum of ``Hi*Wi``, ``B`` sizes and ``A`` ratios that are tried.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..layers import box_area
from ..layers.boxes import MIN_UNION
from .ground_truth import Grid


def variable_iou(
    objects: Tensor,
    squares: Tensor,
    grids: Sequence[Grid],
    octave_scales: Sequence[float],
    aspect_ratios: Sequence[float],
) -> Tensor:
    """The best IoU of an object with a few boxes around the centre of a cell.

    Cells in a column are covered alike from left to right, and those in a row from top to bottom.
    So widths are compared column by column and heights row by row, and what is left for every cell
    is their product: a seventh of the time of comparing all boxes of all cells.

    Args:
        objects: (N, G, 4).
        squares: (N, S, 4), one box a cell, as anchor generators make them: those of a level are of
            one size and lie in its rows and columns.
        grids: the levels.
        octave_scales: B sizes of the boxes, relative to the square.
        aspect_ratios: A ratios of the boxes, height to width. Every size is tried in every ratio.

    Returns:
        (N, G, S).
    """
    scales = torch.tensor(octave_scales, dtype=squares.dtype)[:, None]
    stretch = torch.tensor(aspect_ratios, dtype=squares.dtype).sqrt()
    # (2, B, A): widths and heights
    shapes = torch.stack((scales / stretch, scales * stretch))
    widths, heights = shapes.to(squares.device, non_blocking=True)
    object_area = box_area(objects)[..., None, None]
    found = []
    for grid, level in zip(grids, squares.split([g.cells for g in grids], dim=1), strict=True):
        cells = level.unflatten(1, (grid.height, grid.width))
        columns, rows = cells[:, 0, :, 0::2], cells[:, :, 0, 1::2]  # (N, Wi, 2), (N, Hi, 2)
        across = _overlaps(objects[..., 0::2], columns, widths)[..., None, :]  # (N,G,B,A,1,Wi)
        down = _overlaps(objects[..., 1::2], rows, heights)[..., None]  # (N, G, B, A, Hi, 1)
        area = (_length(rows)[:, :, None] * _length(columns)[:, None])[:, None]  # (N, 1, Hi, Wi)
        best: Tensor | None = None
        # One size after the other: all at once would take as many times the memory.
        for index, scale in enumerate(octave_scales):
            # Boxes of one size have one area: the one that covers most of the object is the best.
            covered = (down[:, :, index] * across[:, :, index]).amax(dim=2)  # (N, G, Hi, Wi)
            union = (object_area + scale**2 * area).sub_(covered).clamp_(min=MIN_UNION)
            iou = covered.div_(union)
            best = iou if best is None else torch.maximum(best, iou, out=best)
        assert best is not None  # there is a size
        found.append(best.flatten(2))
    return torch.cat(found, dim=2)


def _overlaps(objects: Tensor, intervals: Tensor, factors: Tensor) -> Tensor:
    """How much of objects (N, G, 2) is covered by intervals (N, n, 2) stretched, their middles
    staying, by factors (B, A): (N, G, B, A, n)."""
    reach = factors[..., None] * (_length(intervals) / 2)[:, None, None]  # (N, B, A, n)
    middle = intervals.mean(dim=2)[:, None, None]
    low, high = objects[:, :, None, None, None].unbind(-1)  # (N, G, 1, 1, 1)
    end = torch.minimum(high, (middle + reach)[:, None])
    return (end - torch.maximum(low, (middle - reach)[:, None])).clamp_(min=0)


def _length(intervals: Tensor) -> Tensor:
    return intervals[..., 1] - intervals[..., 0]
