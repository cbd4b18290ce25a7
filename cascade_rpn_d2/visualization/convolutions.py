"""What different convolutions read for the same cells (Cascade RPN, Figure 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .canvas import Color, RGBImage, as_boxes, as_rgb, figure
from .panels import Key, Panel, cell_size, panel_grid
from .sampling_points import CELL_COLOR, CELL_COLORS, draw_cells, draw_taps
from .windows import Window, cut_window, window_around

CENTER_TAP: Color = (255, 72, 72)
_FADE = 0.3


@dataclass(frozen=True)
class Sampling:
    """The taps of one kind of convolution at n cells, in image pixels.

    Args:
        name: of the convolution.
        points: (n, K*K, 2), x and y of the taps, row-major.
        boxes: (n, 4) XYXY, the boxes of the cells; None to draw none.
        caption: what decides where the taps are.
    """

    name: str
    points: npt.NDArray[np.float64]
    boxes: Any = None
    caption: str = ""


@figure
def draw_convolutions(
    image: Any,
    cells: Any,
    samplings: Sequence[Sampling],
    centers: Any = (),
    *,
    width: int = 1000,
) -> RGBImage:
    """Draw what several convolutions read for the same cells, a panel each.

    All panels show the same part of the image, around all taps and boxes. The taps of a cell and
    its box have a colour; the tap in the middle is red, and an arrow leads to it from the cell.

    Args:
        image: (H, W, 3) uint8, RGB.
        cells: (n, 2), x and y of the centres of the chosen cells, in image pixels.
        samplings: the convolutions.
        centers: (m, 2), centres of all cells of the map, drawn pale.
        width: pixels of the picture.

    Returns:
        (height, width, 3) uint8, RGB.

    Raises:
        ValueError: if there is no convolution or no cell, or not the taps and boxes of every cell.
    """
    chosen = np.asarray(cells, dtype=np.float64).reshape(-1, 2)
    if not len(chosen):
        raise ValueError("There is no cell whose taps to draw.")
    for sampling in samplings:
        boxes = chosen if sampling.boxes is None else as_boxes(sampling.boxes)
        if not len(sampling.points) == len(boxes) == len(chosen):
            raise ValueError(f"'{sampling.name}' must have taps and boxes of {len(chosen)} cells.")
    size = cell_size(width, len(samplings))
    picture = as_rgb(image)
    window = common_window(picture.shape[:2], chosen, samplings)
    scale = size / max(window[2] - window[0], window[3] - window[1])
    part = cut_window(picture, window, scale, _FADE)
    origin = np.array(window[:2])
    draw_cells(part, (np.asarray(centers, dtype=np.float64).reshape(-1, 2) - origin) * scale)
    panels = []
    for sampling in samplings:
        canvas = part.copy()
        for number, cell in enumerate(chosen):
            box = None
            if sampling.boxes is not None:
                corners = as_boxes(sampling.boxes)[number]
                box = (corners - np.tile(origin, 2)) * scale
            draw_taps(
                canvas,
                (cell - origin) * scale,
                (sampling.points[number] - origin) * scale,
                CELL_COLORS[number % len(CELL_COLORS)],
                box,
                CENTER_TAP,
            )
        panels.append(Panel(canvas, sampling.caption))
    return panel_grid([panels], [s.name for s in samplings], _legend(len(chosen)), width)


def common_window(
    image_size: tuple[int, ...], cells: npt.NDArray[np.float64], samplings: Sequence[Sampling]
) -> Window:
    """The part of the image around all taps, boxes and cells, a square where the image has one.

    It leaves the image only as far as taps and boxes do.

    Args:
        image_size: height and width of the image.
        cells: (n, 2), x and y.
        samplings: the taps and boxes.

    Returns:
        Its box XYXY, in image pixels.
    """
    places = [cells, *(s.points.reshape(-1, 2) for s in samplings)]
    places += [as_boxes(s.boxes).reshape(-1, 2) for s in samplings if s.boxes is not None]
    return window_around(image_size, np.concatenate(places))


def _legend(count: int) -> list[Key]:
    names = ["tap"] if count == 1 else [f"tap of cell {number}" for number in range(1, count + 1)]
    taps = [
        Key(CELL_COLORS[number % len(CELL_COLORS)], name, "dot")
        for number, name in enumerate(names)
    ]
    return [
        Key(CELL_COLOR, "cell", "dot"),
        *taps,
        Key(CENTER_TAP, "tap in the middle", "dot"),
        Key(CELL_COLORS[0], "anchor or refined box of the cell"),
    ]
