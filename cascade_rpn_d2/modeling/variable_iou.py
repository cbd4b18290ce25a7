"""vIoU: how well a box centred in a cell could overlap an object, whatever its shape (equation 5 of
Guided Anchoring).

Shape shorthand: ``N`` images, ``G`` objects an image (padded), ``Hi, Wi`` cells of level i, ``S``
cells an image: the sum of ``Hi*Wi``, ``K`` shapes that are tried.
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
    shapes = itertools.product(octave_scales, aspect_ratios)
    sides = [(scale / ratio**0.5, scale * ratio**0.5) for scale, ratio in shapes]
    factors = torch.tensor(sides, dtype=squares.dtype).to(squares.device, non_blocking=True)
    widths, heights = factors.unbind(dim=1)  # (K,)
    object_area = box_area(objects)[..., None, None]  # (N, G, 1, 1)
    found = []
    for grid, level in zip(grids, squares.split([g.cells for g in grids], dim=1), strict=True):
        cells = level.unflatten(1, (grid.height, grid.width))
        across, width = _overlaps(objects[..., 0::2], cells[:, 0, :, 0::2], widths)  # Wi columns
        down, height = _overlaps(objects[..., 1::2], cells[:, :, 0, 1::2], heights)  # Hi rows
        best: Tensor | None = None
        # One shape after the other: all at once would take as many times the memory.
        for k in range(len(sides)):
            covered = across[:, :, k, None] * down[:, :, k, :, None]  # (N, G, Hi, Wi)
            area = (width[:, k, None] * height[:, k, :, None])[:, None]  # (N, 1, Hi, Wi)
            union = (object_area + area).sub_(covered).clamp_(min=MIN_UNION)
            iou = covered.div_(union)
            best = iou if best is None else torch.maximum(best, iou, out=best)
        assert best is not None  # there is a shape
        found.append(best.flatten(2))
    return torch.cat(found, dim=2)


def _overlaps(objects: Tensor, intervals: Tensor, factors: Tensor) -> tuple[Tensor, Tensor]:
    """How much of objects (N, G, 2) is covered by intervals (N, n, 2) that are stretched by factors
    (K,), their middles staying, (N, G, K, n); and the lengths (N, K, n) of these."""
    middle = (intervals[..., 0] + intervals[..., 1])[:, None] / 2  # (N, 1, n)
    reach = (intervals[..., 1] - intervals[..., 0])[:, None] / 2 * factors[:, None]  # (N, K, n)
    low, high = middle - reach, middle + reach
    end = torch.minimum(objects[..., 1:, None], high[:, None])
    start = torch.maximum(objects[..., :1, None], low[:, None])
    return (end - start).clamp_(min=0), high - low
