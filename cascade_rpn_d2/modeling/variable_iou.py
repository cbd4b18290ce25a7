"""vIoU: how well a box centred in a cell could overlap an object, whatever its shape (equation 5 of
Guided Anchoring).

Shape shorthand: ``N`` images, ``G`` objects an image (padded), ``Hi, Wi`` cells of level i, ``S``
cells an image: the sum of ``Hi*Wi``.
"""

from __future__ import annotations

import itertools
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
    is their product. The numbers are to the last digit those of an IoU of whole boxes: which of
    several cells an object is said to overlap best depends on it.

    Args:
        objects: (N, G, 4).
        squares: (N, S, 4), one box a cell, as anchor generators make them: those of a level are of
            one size and lie in its rows and columns.
        grids: the levels.
        octave_scales: sizes of the boxes, relative to the square.
        aspect_ratios: of the boxes, height to width. Every size is tried in every ratio.

    Returns:
        (N, G, S).
    """
    object_area = box_area(objects)[..., None, None]  # (N, G, 1, 1)
    found = []
    for grid, level in zip(grids, squares.split([g.cells for g in grids], dim=1), strict=True):
        cells = level.unflatten(1, (grid.height, grid.width))
        columns, rows = cells[:, 0, :, 0::2], cells[:, :, 0, 1::2]  # (N, Wi, 2), (N, Hi, 2)
        best: Tensor | None = None
        # One shape after the other: all at once would take as many times the memory.
        for scale, ratio in itertools.product(octave_scales, aspect_ratios):
            across, width = _overlaps(objects[..., 0::2], columns, scale / ratio**0.5)
            down, height = _overlaps(objects[..., 1::2], rows, scale * ratio**0.5)
            covered = across[:, :, None] * down[..., None]  # (N, G, Hi, Wi)
            area = (width[:, None] * height[..., None])[:, None]  # (N, 1, Hi, Wi)
            union = (object_area + area).sub_(covered).clamp_(min=MIN_UNION)
            iou = covered.div_(union)
            best = iou if best is None else torch.maximum(best, iou, out=best)
        assert best is not None  # there is a shape
        found.append(best.flatten(2))
    return torch.cat(found, dim=2)


def _overlaps(objects: Tensor, intervals: Tensor, factor: float) -> tuple[Tensor, Tensor]:
    """How much of objects (N, G, 2) is covered by intervals (N, n, 2) that are stretched by a
    factor, their middles staying, (N, G, n); and the lengths (N, n) of these."""
    middle = (intervals[..., 0] + intervals[..., 1]) / 2
    reach = (intervals[..., 1] - intervals[..., 0]) / 2 * factor
    low, high = middle - reach, middle + reach
    end = torch.minimum(objects[..., 1:], high[:, None])
    start = torch.maximum(objects[..., :1], low[:, None])
    return (end - start).clamp_(min=0), high - low
