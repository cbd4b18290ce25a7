"""Detections with their scores beside the IoU that they really have (CPM R-CNN, Figures 5 and
6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .canvas import (
    Color,
    RGBImage,
    as_boxes,
    as_rgb,
    draw_boxes,
    draw_text,
    figure,
    fill_box,
    line_scale,
)
from .panels import Key, Panel, cell_size, panel_grid
from .proposals import GROUND_TRUTH
from .windows import OUTSIDE, cut_window, in_window, window_around

DETECTION: Color = (255, 190, 30)
IOU_COLOR: Color = (36, 41, 47)
# Of scores, in the order of their names.
SCORE_COLORS: tuple[Color, ...] = ((214, 90, 80), (70, 140, 220), (150, 110, 200), (40, 160, 90))
_WORDS: Color = (36, 41, 47)
_TRACK: Color = (232, 234, 237)
_LINE, _FONT = 20, 12
_NAME_SHARE, _VALUE_WIDTH = 0.29, 34  # of the width, pixels
_DARKNESS, _ROOM = 0.15, 0.25


@dataclass(frozen=True)
class ScoredBox:
    """A detection.

    Args:
        image: (H, W, 3) uint8, RGB.
        box: (4,) XYXY in its pixels.
        target: (4,) the object.
        iou: of the two.
        scores: name -> score, from 0 to 1.
        words: below the picture.
    """

    image: Any
    box: Any
    target: Any
    iou: float
    scores: Mapping[str, float]
    words: str = ""


@figure
def draw_scored_boxes(
    boxes: Sequence[ScoredBox], *, columns: int = 3, width: int = 1120
) -> RGBImage:
    """Draw detections, each with bars of its true IoU and its scores.

    A line through the bars of the scores is where the IoU is: a score that tells how good a box is
    ends there.

    Args:
        boxes: the detections, row by row.
        columns: detections of a row.
        width: pixels of the picture.

    Returns:
        (height, width, 3) uint8, RGB.

    Raises:
        ValueError: if there is no detection, or one has other scores than the first.
    """
    if not boxes:
        raise ValueError("There is no detection to draw.")
    names = list(boxes[0].scores)
    for box in boxes:
        if list(box.scores) != names:
            raise ValueError(f"All detections must have the scores {', '.join(names)}.")
    cell = cell_size(width, columns)
    panels = [Panel(_picture(box, cell), box.words) for box in boxes]
    panels += [Panel(np.full((1, 1, 3), 255, np.uint8))] * (-len(panels) % columns)
    rows = [panels[start : start + columns] for start in range(0, len(panels), columns)]
    legend = [Key(DETECTION, "detection"), Key(GROUND_TRUTH, "object")]
    return panel_grid(rows, legend=legend, width=width)


def _picture(box: ScoredBox, cell: int) -> RGBImage:
    """A square: the detection above, the bars below."""
    picture = np.full((cell, cell, 3), 255, np.uint8)
    unit = line_scale(cell)
    height = cell - unit * (_LINE * (1 + len(box.scores)) + 4)
    image = as_rgb(box.image)
    outlines = as_boxes([box.target, box.box])
    window = window_around(
        image.shape[:2], outlines.reshape(-1, 2), room=_ROOM, aspect=cell / height
    )
    left, top, right, bottom = window
    scale = min(cell / (right - left), height / (bottom - top))
    part = cut_window(image, window, scale, _DARKNESS)[:height, :cell]
    for outline, color in zip(in_window(outlines, window, scale), _OUTLINES, strict=True):
        draw_boxes(part, outline[None], color, 2)
    picture[:height] = OUTSIDE
    y, x = (height - part.shape[0]) // 2, (cell - part.shape[1]) // 2
    picture[y : y + part.shape[0], x : x + part.shape[1]] = part
    _draw_bars(picture, box, height + 4 * unit)
    return picture


_OUTLINES = (GROUND_TRUTH, DETECTION)


def _draw_bars(picture: RGBImage, box: ScoredBox, top: int) -> None:
    """Bars of the IoU and of every score, from ``top`` downwards."""
    width = picture.shape[1]
    unit = line_scale(picture)
    line, font, margin = _LINE * unit, _FONT * unit, 5 * unit
    start, end = _NAME_SHARE * width, float(width - _VALUE_WIDTH * unit)
    bars = [("true IoU", box.iou, IOU_COLOR)]
    for number, (name, score) in enumerate(box.scores.items()):
        bars.append((name, score, SCORE_COLORS[number % len(SCORE_COLORS)]))
    mark = start + (end - start) * box.iou
    for number, (name, value, color) in enumerate(bars):
        y, middle = top + number * line, top + (number + 0.5) * line
        bottom = y + line - margin
        fill_box(picture, (start, y + margin, end, bottom), _TRACK)
        fill_box(picture, (start, y + margin, start + (end - start) * value, bottom), color)
        draw_text(picture, name, (start - 6 * unit, middle), font, _WORDS, anchor="rm")
        draw_text(picture, f"{value:.2f}", (width - 1, middle), font, _WORDS, anchor="rm")
    first, last = top + line - margin, top + len(bars) * line - 2 * unit
    fill_box(picture, (mark - unit, first, mark + unit, last), IOU_COLOR)
