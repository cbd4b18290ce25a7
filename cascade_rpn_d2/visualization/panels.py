"""A grid of labelled pictures with headers and a legend: how results are compared side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from .canvas import (
    Color,
    RGBImage,
    as_rgb,
    draw_boxes,
    draw_dashed_boxes,
    draw_dot,
    draw_text,
    figure,
    fill_box,
    line_scale,
    rescale,
    text_width,
)

_TEXT = (36, 41, 47)
_QUIET = (87, 96, 106)
# Behind a colour of the legend: as dark as the pictures mostly are, so that white can be seen.
_SWATCH = (70, 74, 80)
_FONT, _GAP = 14, 10
_LEAST_FONT = 8
_LINE = _FONT + 8  # height of a line of words


@dataclass(frozen=True)
class Panel:
    """One picture of a grid.

    Args:
        image: (H, W, 3) uint8, RGB.
        caption: words below it.
    """

    image: RGBImage
    caption: str = ""


class Key(NamedTuple):
    """An entry of a legend.

    Args:
        color: what is explained.
        words: what it means.
        mark: whether it is the colour of boxes, of dashed ones or of dots.
    """

    color: Color
    words: str
    mark: Literal["box", "dashes", "dot"] = "box"


def cell_size(width: int, columns: int) -> int:
    """Pixels of the square cell that each picture of a grid is fitted into.

    Raises:
        ValueError: if the grid is too narrow for its columns.
    """
    size = (width - line_scale(width) * _GAP * (columns + 1)) // columns if columns else 0
    if size < 16:
        raise ValueError(f"A grid of {columns} columns cannot be {width} pixels wide.")
    return size


def fitting_scale(image: RGBImage, cell: int) -> float:
    """The factor that makes an image as large as fits into a square of ``cell`` pixels.

    Whoever draws at this scale gets lines that the grid does not have to resample.
    """
    return cell / max(image.shape[:2])


def fitting_size(words: str, width: int, largest: int, bold: bool = False) -> int:
    """The size of font, at most ``largest``, at which words fit into ``width`` pixels.

    Never below what can be read: longer words run over.
    """
    size = largest
    while size > _LEAST_FONT and text_width(words, size, bold) > width:
        size -= 1
    return size


@figure
def panel_grid(
    rows: Sequence[Sequence[Panel]],
    headers: Sequence[str] = (),
    legend: Sequence[Key | tuple[Color, str]] = (),
    width: int = 1120,
) -> RGBImage:
    """Put pictures side by side.

    Args:
        rows: the panels, every row as long as the first.
        headers: words above the columns, one each, or none at all.
        legend: colours and what they mean (a tuple is a :class:`Key` of boxes), in one line at the
            bottom, wrapped where it is too long.
        width: pixels of the result; panels are scaled to fit.

    Returns:
        (H, width, 3) uint8, RGB, on white.

    Raises:
        ValueError: if there is no panel, or if rows and headers are not equally long.
    """
    columns = len(rows[0]) if rows else 0
    if not columns:
        raise ValueError("A grid needs at least one panel.")
    lengths = {len(row) for row in rows} | ({len(headers)} if headers else set())
    if lengths != {columns}:
        raise ValueError(f"Rows and headers must be equally long, not {sorted(lengths)}.")
    cell = cell_size(width, columns)
    parts = (
        [_header_line(headers, cell, width)]
        if headers
        else [_white(line_scale(width) * _GAP, width)]
    )
    parts += [_row(row, cell, width) for row in rows]
    if legend:
        parts.append(_legend_lines(legend, width))
    return np.concatenate(parts)


def _white(height: int, width: int) -> RGBImage:
    return np.full((height, width, 3), 255, np.uint8)


def _lefts(count: int, cell: int, width: int) -> list[int]:
    """Where the columns begin, the rest of the width shared by both margins."""
    gap = line_scale(width) * _GAP
    margin = (width - count * cell - (count - 1) * gap) // 2
    return [margin + i * (cell + gap) for i in range(count)]


def _header_line(headers: Sequence[str], cell: int, width: int) -> RGBImage:
    unit = line_scale(width)
    line = _white(unit * (_LINE + _GAP), width)
    for left, words in zip(_lefts(len(headers), cell, width), headers, strict=True):
        size = fitting_size(words, cell, unit * (_FONT + 1), bold=True)
        middle = left + cell / 2, unit * (_GAP + _LINE) / 2
        draw_text(line, words, middle, size, _TEXT, True, "mm")
    return line


def _row(panels: Sequence[Panel], cell: int, width: int) -> RGBImage:
    images = []
    for panel in panels:
        image = as_rgb(panel.image)
        images.append(rescale(image, fitting_scale(image, cell)))
    height = max(image.shape[0] for image in images)
    has_captions = any(panel.caption for panel in panels)
    unit = line_scale(width)
    row = _white(height + unit * ((_LINE if has_captions else 0) + _GAP), width)
    for left, image, panel in zip(_lefts(len(panels), cell, width), images, panels, strict=True):
        h, w = image.shape[:2]
        top, start = (height - h) // 2, left + (cell - w) // 2
        row[top : top + h, start : start + w] = image
        draw_text(
            row,
            panel.caption,
            (left + cell / 2, height + unit * _LINE / 2),
            fitting_size(panel.caption, cell, unit * (_FONT - 1)),
            _QUIET,
            anchor="mm",
        )
    return row


def _legend_lines(legend: Sequence[Key | tuple[Color, str]], width: int) -> RGBImage:
    unit = line_scale(width)
    swatch, room, gap, font, height = (unit * n for n in (24, 26, 7, _FONT - 1, _LINE))
    lines: list[list[tuple[Key, int]]] = [[]]
    taken = 0
    for key in (Key(*entry) for entry in legend):
        need = swatch + gap + text_width(key.words, font) + room
        if lines[-1] and taken + need - room > width - 2 * unit * _GAP:
            lines.append([])
            taken = 0
        lines[-1].append((key, need))
        taken += need
    strip = _white(height * len(lines) + unit * _GAP, width)
    for number, line in enumerate(lines):
        left = (width - sum(need for _, need in line) + room) / 2
        middle = number * height + height / 2
        for key, need in line:
            fill_box(strip, (left, middle - gap, left + swatch, middle + gap), _SWATCH)
            if key.mark == "dot":
                draw_dot(strip, (left + swatch / 2, middle), 4.0, key.color)
            else:
                inner, half = 4 * unit, 3 * unit
                box = [[left + inner, middle - half, left + swatch - inner, middle + half]]
                if key.mark == "dashes":
                    draw_dashed_boxes(strip, box, key.color, 2, dash=3.0)
                else:
                    draw_boxes(strip, box, key.color, 2)
            words_at = (left + swatch + gap, middle)
            draw_text(strip, key.words, words_at, font, _TEXT, anchor="lm")
            left += need
    return strip
