"""Where the adaptive convolution reads (Cascade RPN, equations 6 and 7, figure 3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .canvas import (
    Color,
    RGBImage,
    as_boxes,
    as_rgb,
    draw_arrow,
    draw_boxes,
    draw_dot,
    rescale,
)

_CELL_COLORS: tuple[Color, ...] = ((255, 190, 30), (70, 200, 255), (120, 230, 120), (255, 120, 200))
_GRID: Color = (255, 255, 255)
_TAP_RADIUS = 3.5


def sampling_points(boxes: Any, kernel_size: int = 3) -> npt.NDArray[np.float64]:
    """Positions of the taps of an adaptive convolution, in image pixels.

    The taps are spread evenly over the box from edge to edge, so they depend on the box alone: the
    stride and the centre convention only matter for where that is on the feature map.

    Args:
        boxes: (n, 4) XYXY in image pixels.
        kernel_size: K, odd.

    Returns:
        (n, K*K, 2), x and y of each tap, row-major from the upper left.

    Raises:
        ValueError: if ``kernel_size`` is even or not positive.
    """
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise ValueError(f"kernel_size must be odd and positive, not {kernel_size}.")
    x1, y1, x2, y2 = as_boxes(boxes).T[:, :, None]  # each (n, 1)
    # A kernel of one tap reads at the centre.
    steps = np.linspace(0.0, 1.0, kernel_size) if kernel_size > 1 else np.array([0.5])
    xs, ys = x1 + (x2 - x1) * steps, y1 + (y2 - y1) * steps  # (n, K)
    shape = (len(xs), kernel_size, kernel_size)
    grid = np.stack(
        (np.broadcast_to(xs[:, None, :], shape), np.broadcast_to(ys[:, :, None], shape)), axis=-1
    )
    return grid.reshape(len(xs), kernel_size * kernel_size, 2)


def draw_sampling_points(
    image: Any,
    boxes: Any,
    stride: int,
    map_size: tuple[int, int],
    cells: Sequence[tuple[int, int]],
    *,
    center_offset: float = 0.0,
    kernel_size: int = 3,
    scale: float = 1.0,
) -> RGBImage:
    """Draw the boxes of chosen cells of a map and the taps that an adaptive convolution reads.

    An arrow leads from the cell to the middle of its box; pale dots are the centres of all cells.

    Args:
        image: (h, w, 3) uint8, RGB.
        boxes: (H*W, 4) XYXY in image pixels, one per cell, row-major, as ``adaptive_conv2d`` takes.
        stride: image pixels per cell.
        map_size: H and W of the feature map.
        cells: (row, column) of the cells to show.
        center_offset: where in a cell its centre is, in cells: 0 for the upper left corner.
        kernel_size: K, odd.
        scale: size of the picture relative to the image.

    Returns:
        (scale*h, scale*w, 3) uint8, RGB; the image given stays as it is.

    Raises:
        ValueError: if there is not one box per cell, or a chosen cell is outside the map.
    """
    height, width = map_size
    per_cell = as_boxes(boxes)
    if len(per_cell) != height * width:
        raise ValueError(
            f"A map of {height}x{width} cells needs as many boxes, not {len(per_cell)}."
        )
    canvas = rescale(as_rgb(image), scale)
    _draw_grid(canvas, stride * scale, map_size, center_offset)
    for number, (row, column) in enumerate(cells):
        if not (0 <= row < height and 0 <= column < width):
            raise ValueError(
                f"Cell ({row}, {column}) is outside the map of {height}x{width} cells."
            )
        box = per_cell[row * width + column] * scale
        color = _CELL_COLORS[number % len(_CELL_COLORS)]
        start = (column + center_offset) * stride * scale, (row + center_offset) * stride * scale
        draw_boxes(canvas, box[None], (20, 20, 20), 3, opacity=0.5)
        draw_boxes(canvas, box[None], color, 1)
        _draw_move(canvas, start, ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2), color)
        for point in sampling_points(box[None], kernel_size)[0]:
            draw_dot(canvas, point, _TAP_RADIUS, color)
    return canvas


def _draw_move(
    canvas: RGBImage, start: tuple[float, float], center: tuple[float, float], color: Color
) -> None:
    """An arrow from a cell to the middle of its box, which ends at the rim of the tap there."""
    length = float(np.hypot(center[0] - start[0], center[1] - start[1]))
    if length > 4 * _TAP_RADIUS:
        part = 1.0 - 2 * _TAP_RADIUS / length
        end = tuple(s + part * (c - s) for s, c in zip(start, center, strict=True))
        draw_arrow(canvas, start, end, color, 2)
    draw_dot(canvas, start, _TAP_RADIUS, _GRID)


def _draw_grid(
    canvas: RGBImage, step: float, map_size: tuple[int, int], center_offset: float
) -> None:
    layer = canvas.copy()
    for row in range(map_size[0]):
        for column in range(map_size[1]):
            draw_dot(
                layer, ((column + center_offset) * step, (row + center_offset) * step), 0.8, _GRID
            )
    canvas[:] = np.asarray(canvas * 0.55 + layer * 0.45, dtype=np.uint8)
