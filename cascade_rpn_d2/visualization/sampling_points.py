"""Where convolutions read (Cascade RPN, section 4.1, equations 6 and 7, figure 3)."""

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
    line_scale,
    rescale,
)

CELL_COLORS: tuple[Color, ...] = ((255, 190, 30), (70, 200, 255), (120, 230, 120), (255, 120, 200))
CELL_COLOR: Color = (255, 255, 255)
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


def grid_points(centers: Any, spacing: float, kernel_size: int = 3) -> npt.NDArray[np.float64]:
    """Positions of the taps of a plain or dilated convolution, in image pixels.

    Args:
        centers: (n, 2), x and y of cells, in image pixels.
        spacing: pixels between neighbouring taps: stride times dilation.
        kernel_size: K, odd.

    Returns:
        (n, K*K, 2), x and y of each tap, row-major from the upper left.
    """
    middle = np.asarray(centers, dtype=np.float64).reshape(-1, 2)
    reach = spacing * (kernel_size - 1) / 2
    return sampling_points(np.concatenate((middle - reach, middle + reach), axis=1), kernel_size)


def deformed_points(
    centers: Any, offsets: Any, stride: float, dilation: int = 1
) -> npt.NDArray[np.float64]:
    """Positions of the taps of a deformable convolution, in image pixels.

    Args:
        centers: (n, 2), x and y of cells, in image pixels.
        offsets: (n, 2*K*K), what moves the taps, in cells: per tap dy, then dx, row-major.
        stride: image pixels per cell.
        dilation: cells between neighbouring taps that are not moved.

    Returns:
        (n, K*K, 2), x and y of each tap, row-major from the upper left.

    Raises:
        ValueError: if there are not 2*K*K offsets for an odd K, or not as many rows as cells.
    """
    moves = np.asarray(offsets, dtype=np.float64)
    middle = np.asarray(centers, dtype=np.float64).reshape(-1, 2)
    taps = moves.shape[-1] // 2
    kernel_size = round(taps**0.5)
    if moves.shape != (len(middle), 2 * kernel_size**2):
        raise ValueError(f"{len(middle)} cells need offsets (n, 2*K*K), not {moves.shape}.")
    points = grid_points(middle, stride * dilation, kernel_size)
    return points + stride * moves.reshape(len(moves), taps, 2)[..., ::-1]


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
    rows, columns = np.mgrid[:height, :width]
    centers = (np.stack((columns, rows), axis=-1) + center_offset) * stride * scale  # (H, W, 2)
    draw_cells(canvas, centers.reshape(-1, 2))
    for number, (row, column) in enumerate(cells):
        if not (0 <= row < height and 0 <= column < width):
            raise ValueError(
                f"Cell ({row}, {column}) is outside the map of {height}x{width} cells."
            )
        box = per_cell[row * width + column] * scale
        color = CELL_COLORS[number % len(CELL_COLORS)]
        points = sampling_points(box[None], kernel_size)[0]
        draw_taps(canvas, centers[row, column], points, color, box)
    return canvas


def draw_cells(canvas: RGBImage, centers: npt.NDArray[np.float64]) -> None:
    """Pale dots at ``centers`` (n, 2), in pixels of the canvas, as far as they lie on it."""
    layer = canvas.copy()
    height, width = canvas.shape[:2]
    for center in centers[((centers >= 0) & (centers <= (width, height))).all(axis=1)]:
        draw_dot(layer, center, 0.8, CELL_COLOR)
    canvas[:] = np.asarray(canvas * 0.55 + layer * 0.45, dtype=np.uint8)


def draw_taps(
    canvas: RGBImage,
    cell: Sequence[float],
    points: npt.NDArray[np.float64],
    color: Color,
    box: Any = None,
    center_color: Color | None = None,
) -> None:
    """Draw the taps of one cell, an arrow from the cell to the tap in the middle, and a box.

    Args:
        canvas: drawn on; all places are in its pixels.
        cell: x and y of the centre of the cell.
        points: (K*K, 2), x and y of the taps, row-major.
        color: of the taps and of the box.
        box: (4,) XYXY; None for no box.
        center_color: of the tap in the middle; by default as the others.
    """
    if box is not None:
        draw_boxes(canvas, np.reshape(box, (1, 4)), (20, 20, 20), 3, opacity=0.5)
        draw_boxes(canvas, np.reshape(box, (1, 4)), color, 1)
    middle = len(points) // 2
    _draw_move(canvas, (cell[0], cell[1]), points[middle], color)
    for number, point in enumerate(points):
        draw_dot(canvas, point, _TAP_RADIUS, (center_color or color) if number == middle else color)


def _draw_move(
    canvas: RGBImage, start: tuple[float, float], center: Sequence[float], color: Color
) -> None:
    """An arrow from a cell to the middle of its box, which ends at the rim of the tap there."""
    length = float(np.hypot(center[0] - start[0], center[1] - start[1]))
    radius = _TAP_RADIUS * line_scale(canvas)
    if length > 6 * radius:
        part = 1.0 - 2 * radius / length
        end = tuple(s + part * (c - s) for s, c in zip(start, center, strict=True))
        draw_arrow(canvas, start, end, color, 2)
    draw_dot(canvas, start, _TAP_RADIUS, CELL_COLOR)
