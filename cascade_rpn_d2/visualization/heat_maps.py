"""The heat maps of a box's grid points, and the box that is read from them (Grid R-CNN, section
3.1; CPM R-CNN, Figure 2)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..layers import decode_grid_boxes, decode_grid_points, sub_region_starts
from .box_paths import PROPOSAL, REGION, STAGE_COLORS, iou_in_image, region_boxes
from .canvas import (
    Color,
    RGBImage,
    as_boxes,
    as_rgb,
    draw_boxes,
    draw_dashed_boxes,
    draw_dot,
    draw_ring,
    figure,
)
from .color_bar import color_bar, map_colors
from .panels import Key, Panel, cell_size, panel_grid
from .proposals import GROUND_TRUTH
from .windows import Window, cut_window, in_window, window_around

# On a scale of square roots, as peaks that are hardly learnt yet would not be seen otherwise.
_PROBABILITIES = (0.0, 0.01, 0.1, 0.25, 0.5, 1.0)
_COLORS, _SHADES = "inferno", 256
_READ = STAGE_COLORS[0]
_POINT: Color = (120, 255, 160)
_DARKNESS, _ROOM = 0.2, 0.03
# How much of the image a heat map hides, where it is 0 and where it is 1.
_COVER = (0.45, 0.95)
_DOT, _RING = 3.0, 6.0
_LEFT_PANELS = 3


@dataclass(frozen=True)
class GridMaps:
    """What a stage saw in a box.

    Args:
        logits: (P, m, m) heat maps before the sigmoid, of a square of P points.
        box: (4,) XYXY in image pixels, the box that features were pooled from.
        mapping_ratio: sides of the region that the maps stand for by those of the box.
        target: (4,) the object; None if it is not known.
    """

    logits: Tensor
    box: Any
    mapping_ratio: float
    target: Any = None


@figure
def draw_heat_maps(
    images: Sequence[Any], maps: Sequence[GridMaps], *, width: int = 1120
) -> RGBImage:
    """Draw the heat maps of boxes, each map where its sub-region is.

    Of a box there are on the left, from above: the box and the region that its maps stand for; all
    maps at once, of each cell the greatest value; the points that the maps show, and the box read
    from them. On the right there is a panel for each point, as the grid has them.

    Args:
        images: n images (H, W, 3) uint8, RGB.
        maps: of one box in each image.
        width: pixels of the picture.

    Returns:
        (height, width, 3) uint8, RGB.

    Raises:
        ValueError: if there are no boxes, or not as many as images, or their grids differ.
    """
    if not maps or len(maps) != len(images):
        raise ValueError(f"There are heat maps of {len(maps)} boxes for {len(images)} images.")
    sizes = {math.isqrt(len(one.logits)) for one in maps}
    if len(sizes) > 1:
        raise ValueError(f"Boxes in one picture have grids of one size, not {sorted(sizes)}.")
    (size,) = sizes
    cell = cell_size(width, 1 + size)
    rows: list[list[Panel]] = []
    for image, one in zip(images, maps, strict=True):
        drawing = _Drawing(as_rgb(image), one, cell)
        left = drawing.overviews()
        points = drawing.points_column_by_column()
        for row in range(max(size, _LEFT_PANELS)):
            own = [points[column * size + row] if row < size else _EMPTY for column in range(size)]
            rows.append([left[row] if row < len(left) else _EMPTY, *own])
    headers = ["Box, maps, box read", *(f"Points of column {k + 1}" for k in range(size))]
    legend = [
        Key(PROPOSAL, "box before"),
        Key(REGION, "mapped region", "dashes"),
        Key(REGION, "sub-region of a map"),
        Key(_POINT, "point of a map", "dot"),
        Key(_READ, "box read"),
    ]
    if any(one.target is not None for one in maps):
        legend.append(Key(GROUND_TRUTH, "object"))
    grid = panel_grid(rows, headers, legend, width)
    return np.concatenate((grid, _bar(cell, width)))


class _Drawing:
    """The panels of one box."""

    def __init__(self, image: RGBImage, maps: GridMaps, cell: int) -> None:
        self.image, self.cell = image, cell
        logits, box = maps.logits.detach().cpu().double()[None], as_boxes([maps.box])
        ratio, boxes = maps.mapping_ratio, torch.from_numpy(box)
        points, peaks = decode_grid_points(logits, boxes, mapping_ratio=ratio)
        read = decode_grid_boxes(logits, boxes, mapping_ratio=ratio)
        self.box = box
        self.points = points[0].numpy()  # (P, 2)
        self.probability = peaks[0].sigmoid().numpy()  # (P,)
        self.read = read.numpy()
        self.region = region_boxes(box, ratio)
        self.heat = logits[0].sigmoid().numpy()  # (P, m, m)
        self.starts = sub_region_starts(math.isqrt(len(self.heat)), self.heat.shape[-1]).tolist()
        self.target = None if maps.target is None else as_boxes([maps.target])
        known = [] if self.target is None else [self.target]
        places = np.concatenate([self.region, self.read, *known]).reshape(-1, 2)
        self.window: Window = window_around(image.shape[:2], places, room=_ROOM)
        left, top, right, bottom = self.window
        self.scale = cell / max(right - left, bottom - top)

    def overviews(self) -> list[Panel]:
        """Before, all maps, after."""
        before, everything, after = (self._canvas() for _ in range(_LEFT_PANELS))
        self._outline(before, self.target, GROUND_TRUTH)
        self._outline(before, self.box, PROPOSAL)
        side = 2 * self.heat.shape[-1]
        combined = np.zeros((side, side))
        for point in range(len(self.heat)):
            rows, columns = self._cells(point)
            combined[rows, columns] = np.maximum(combined[rows, columns], self.heat[point])
        _lay_over(everything, combined, self._place(self.region)[0])
        for canvas in (before, everything, after):
            draw_dashed_boxes(canvas, self._place(self.region), REGION)
        self._outline(after, self.target, GROUND_TRUTH)
        self._outline(after, self.read, _READ)
        for point in self._place(self.points):
            draw_dot(after, point, _DOT, _POINT)
        overlaps = ["", ""]
        if self.target is not None:
            overlaps = [
                f"IoU {iou_in_image(box, self.target, self.image.shape)[0]:.2f}"
                for box in (self.box, self.read)
            ]
        count = len(self.heat)
        return [
            Panel(before, overlaps[0]),
            Panel(everything, f"all {count} maps"),
            Panel(after, overlaps[1]),
        ]

    def points_column_by_column(self) -> list[Panel]:
        """A panel for each point."""
        return [self._point(point) for point in range(len(self.heat))]

    def _point(self, point: int) -> Panel:
        canvas = self._canvas()
        rows, columns = self._cells(point)
        side = 2 * self.heat.shape[-1]
        share = np.array((columns.start, rows.start, columns.stop, rows.stop)) / side
        corner, extent = self.region[0, :2], self.region[0, 2:] - self.region[0, :2]
        sub_region = np.tile(corner, 2) + share * np.tile(extent, 2)
        placed = self._place(sub_region[None])
        _lay_over(canvas, self.heat[point], placed[0])
        draw_dashed_boxes(canvas, self._place(self.region), REGION)
        draw_boxes(canvas, placed, REGION)
        draw_ring(canvas, self._place(self.points)[point], _RING, _POINT)
        return Panel(canvas, f"probability {self.probability[point]:.2f}")

    def _cells(self, point: int) -> tuple[slice, slice]:
        """Rows and columns of the mapped region that the map of a point shows."""
        side, size = self.heat.shape[-1], len(self.starts)
        left, top = self.starts[point // size], self.starts[point % size]
        return slice(top, top + side), slice(left, left + side)

    def _canvas(self) -> RGBImage:
        return cut_window(self.image, self.window, self.scale, _DARKNESS)

    def _place(self, places: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return in_window(places, self.window, self.scale)

    def _outline(
        self, canvas: RGBImage, boxes: npt.NDArray[np.float64] | None, color: Color
    ) -> None:
        if boxes is not None:
            draw_boxes(canvas, self._place(boxes), color, 2)


_EMPTY = Panel(np.full((1, 1, 3), 255, np.uint8))


def _lay_over(
    canvas: RGBImage, heat: npt.NDArray[np.float64], box: npt.NDArray[np.float64]
) -> None:
    """Colour a ``box`` (4,) of a canvas by the nearest of the cells (h, w) of a heat map."""
    index = []
    for pixels, cells, start, end in zip(
        canvas.shape, heat.shape, (box[1], box[0]), (box[3], box[2]), strict=False
    ):
        at = np.floor((np.arange(pixels) + 0.5 - start) / (end - start) * cells).astype(np.int64)
        index.append((np.nonzero((at >= 0) & (at < cells))[0], at[(at >= 0) & (at < cells)]))
    (rows, row_cells), (columns, column_cells) = index
    shade = np.sqrt(heat[np.ix_(row_cells, column_cells)])
    cover = (_COVER[0] + (_COVER[1] - _COVER[0]) * shade)[..., None]
    part = canvas[np.ix_(rows, columns)]
    canvas[np.ix_(rows, columns)] = np.rint(part * (1 - cover) + map_colors(shade, _COLORS) * cover)


def _bar(cell: int, width: int) -> RGBImage:
    """What the colours of the maps mean."""
    colors = map_colors(np.linspace(0.0, 1.0, _SHADES), _COLORS)
    ticks = {float(np.sqrt(value)): f"{value:g}" for value in _PROBABILITIES}
    ticks[1.0] = "probability 1"
    bar = color_bar(colors, ticks, 2 * cell)
    strip = np.full((bar.shape[0], width, 3), 255, np.uint8)
    left = (width - bar.shape[1]) // 2
    strip[:, left : left + bar.shape[1]] = bar
    return strip
