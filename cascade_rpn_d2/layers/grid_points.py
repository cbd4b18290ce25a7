"""Boxes as heat maps of grid points and back: Grid R-CNN's targets and how its maps are read.

``S x S`` grid points lie evenly on a box, from edge to edge. Point ``p = column * S + row``. A
point is a peak on a heat map over the *mapped region*: the box that features are pooled from,
enlarged about its centre by the *mapping ratio*. The region has ``2m x 2m`` cells, but a point
cannot be just anywhere in it, so a map shows only the ``m x m`` cells of its own *sub-region*
(Grid R-CNN Plus, "heat maps of half the size").

All functions work on a batch without a loop over boxes or points. They compute in float32 or better
whatever autocast says: in half precision a coordinate above 2048 is off by a pixel and more.

Shape shorthand: ``R`` boxes, ``S`` grid points a side, ``P = S*S`` grid points, ``m`` side of a
heat map in cells (28).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def sub_region_starts(
    grid_size: int, map_size: int, device: torch.device | str | None = None
) -> Tensor:
    """First cell of the sub-regions, by row or column of the grid.

    Computed on the device, as a copy from the host would make the host wait.

    Args:
        grid_size: S, at least 2.
        map_size: m, even.
        device: where to.

    Returns:
        (S,) int64 from 0 to m, ascending: 0, 14, 28 for S = 3 and m = 28. An inner sub-region has
        its point in the middle if the box fills the middle half of the mapped region, as far as the
        mapped region goes (in the reference code those of 6 and more points a side leave it).

    Raises:
        ValueError: if there are no such points or maps.
    """
    if grid_size < 2 or map_size < 2 or map_size % 2:
        raise ValueError(
            "A box needs at least 2 x 2 grid points and maps with an even number of cells a side, "
            f"not grid_size={grid_size}, map_size={map_size}."
        )
    # 2 m (k / (S - 1) - 1/4) in whole numbers, where no quotient is rounded across one.
    point = torch.arange(grid_size, device=device)
    start = (4 * point - (grid_size - 1)) * map_size
    return start.div(2 * (grid_size - 1), rounding_mode="floor").clamp(0, map_size)


def mapped_regions(boxes: Tensor, mapping_ratio: float) -> Tensor:
    """What the heat maps of boxes cover (CPM R-CNN, section 3.2).

    Args:
        boxes: (R, 4) XYXY in pixels.
        mapping_ratio: sides of the region by those of the box: 2 in Grid R-CNN.

    Returns:
        (R, 4): x, y of the upper left corner, width and height. It may leave the image.
    """
    boxes = _at_least_float32(boxes)
    size = boxes[:, 2:] - boxes[:, :2]
    corner = boxes[:, :2] - (mapping_ratio - 1) * size / 2
    return torch.cat((corner, mapping_ratio * size), dim=1)


def encode_grid_points(
    boxes: Tensor,
    objects: Tensor,
    *,
    grid_size: int = 3,
    map_size: int = 28,
    mapping_ratio: float = 2.0,
    radius: int = 1,
    min_region_size: float = 3.0,
) -> Tensor:
    """Heat maps that point at the grid points of objects.

    A cell is 1 where it is at most ``radius`` cells from that of the point: with radius 1 the cell
    and its four neighbours. A point outside its sub-region leaves a map without a peak, or with
    part of one; that map is learnt nonetheless (Grid R-CNN, section 3.1; its released code).

    Args:
        boxes: (R, 4) XYXY in pixels, the boxes that features are pooled from.
        objects: (R, 4) the object that each should become.
        grid_size: S.
        map_size: m.
        mapping_ratio: see :func:`mapped_regions`.
        radius: of the peaks in cells.
        min_region_size: regions whose width or height does not exceed this, in pixels, have no
            peaks at all.

    Returns:
        (R, P, m, m) of zeros and ones, float32, or float64 for boxes in float64.
    """
    boxes, objects = _at_least_float32(boxes), _at_least_float32(objects)
    regions = mapped_regions(boxes, mapping_ratio)[:, None]  # (R, 1, 4)
    part = torch.arange(grid_size, dtype=boxes.dtype, device=boxes.device)[:, None]
    part = part / (grid_size - 1)
    points = (1 - part) * objects[:, None, :2] + part * objects[:, None, 2:]  # (R, S, 2)
    # Towards zero, so that a point less than a cell outside the region is in its first cell.
    centers = ((points - regions[..., :2]) / regions[..., 2:] * (2 * map_size)).trunc()

    starts = sub_region_starts(grid_size, map_size, boxes.device)
    cells = starts[:, None] + torch.arange(map_size, device=boxes.device)  # (S, m)
    distance = (cells[:, :, None] - centers[:, :, None]).square()  # (R, S, m, 2)
    x, y = distance.unbind(-1)  # by column of the grid, by row
    # (R, S, 1, 1, m) and (R, 1, S, m, 1) -> (R, S, S, m, m)
    target = x[:, :, None, None, :] + y[:, None, :, :, None] <= radius**2
    large = (regions[..., 2:] > min_region_size).all(dim=-1)  # (R, 1)
    target &= large[:, :, None, None, None]
    return target.flatten(1, 2).to(boxes.dtype)


def decode_grid_points(
    logits: Tensor, boxes: Tensor, *, mapping_ratio: float = 2.0, by_probability: bool = False
) -> tuple[Tensor, Tensor]:
    """Where heat maps point.

    Of each map its greatest cell counts, the first of equal ones.

    Args:
        logits: (R, P, m, m) heat maps before the sigmoid.
        boxes: (R, 4) XYXY in pixels, the boxes that features were pooled from.
        mapping_ratio: see :func:`mapped_regions`.
        by_probability: whether the cell of the greatest probability in float32 is taken, as the
            reference codes do, to which all cells above a logit of about 16.6 are equal; otherwise
            that of the greatest logit.

    Returns:
        points: (R, P, 2) x and y in pixels, of the middle of the cell.
        logits: (R, P) of that cell.
    """
    boxes = _at_least_float32(boxes)
    map_size = logits.shape[-1]
    grid_size = _grid_size(logits.shape[1])
    values = logits.flatten(2)
    if by_probability:
        cell = _at_least_float32(values).sigmoid().argmax(dim=2)  # (R, P)
        peak = values.gather(2, cell[:, :, None])[:, :, 0]
    else:
        peak, cell = values.max(dim=2)
    starts = sub_region_starts(grid_size, map_size, boxes.device)
    column = cell % map_size + starts[:, None].expand(-1, grid_size).flatten()
    row = torch.div(cell, map_size, rounding_mode="floor") + starts.repeat(grid_size)
    regions = mapped_regions(boxes, mapping_ratio)[:, None]  # (R, 1, 4)
    place = (torch.stack((column, row), dim=-1).to(boxes) + 0.5) / (2 * map_size)
    return regions[..., :2] + place * regions[..., 2:], peak.to(boxes)


def decode_grid_boxes(
    logits: Tensor, boxes: Tensor, *, mapping_ratio: float = 2.0, by_probability: bool = False
) -> Tensor:
    """The boxes whose grid points the heat maps show (Grid R-CNN, section 3.1).

    An edge is the mean of the S points on it, weighted by their probabilities. Points inside the
    box have no vote.

    Args:
        logits: (R, P, m, m) heat maps before the sigmoid.
        boxes: (R, 4) XYXY in pixels, the boxes that features were pooled from.
        mapping_ratio: see :func:`mapped_regions`.
        by_probability: see :func:`decode_grid_points`.

    Returns:
        (R, 4) XYXY in pixels, float32, or float64 for boxes in float64. They may leave the image.
    """
    points, peaks = decode_grid_points(
        logits, boxes, mapping_ratio=mapping_ratio, by_probability=by_probability
    )
    grid_size = _grid_size(logits.shape[1])
    x, y = points.unflatten(1, (grid_size, grid_size)).unbind(-1)  # (R, S columns, S rows)
    # p / sum(p) without the p, which could all be 0 in floating point.
    log_weight = F.logsigmoid(peaks).unflatten(1, (grid_size, grid_size))

    def edge(coordinate: Tensor, log_weight: Tensor) -> Tensor:
        return (coordinate * log_weight.softmax(dim=1)).sum(dim=1)

    return torch.stack(
        (
            edge(x[:, 0], log_weight[:, 0]),
            edge(y[:, :, 0], log_weight[:, :, 0]),
            edge(x[:, -1], log_weight[:, -1]),
            edge(y[:, :, -1], log_weight[:, :, -1]),
        ),
        dim=1,
    )


def _grid_size(points: int) -> int:
    """Points a side.

    Raises:
        ValueError: if ``points`` is not a square.
    """
    size = math.isqrt(points)
    if size * size != points:
        raise ValueError(f"Heat maps are for a square of grid points, 4, 9, 16, ..., not {points}.")
    return size


def _at_least_float32(boxes: Tensor) -> Tensor:
    return boxes if boxes.dtype == torch.float64 else boxes.float()
