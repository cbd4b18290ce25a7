"""Colours for numbers, and the bar that tells which colour is which number."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import matplotlib
import numpy as np
import numpy.typing as npt

from .canvas import RGBImage, draw_text, line_scale, text_width

_TEXT = (36, 41, 47)
_BAR, _TICK, _FONT = 14, 4, 12


def map_colors(values: npt.NDArray[np.float64], name: str) -> RGBImage:
    """Colours (..., 3) uint8 of numbers (...) by one of Matplotlib's colour maps.

    Args:
        values: from 0 to 1; what is beyond has the colour of the end.
        name: of the colour map, such as ``"viridis"``.
    """
    colors = matplotlib.colormaps[name](np.clip(values, 0.0, 1.0))[..., :3]
    return np.asarray((colors * 255).round(), dtype=np.uint8)


def color_bar(colors: RGBImage, ticks: Mapping[float, str], width: int) -> RGBImage:
    """A bar of colours from left to right with words below.

    Args:
        colors: (k, 3), of the left end to the right one.
        ticks: place, from 0 at the left to 1 at the right -> words.
        width: pixels of the bar.

    Returns:
        (height, width, 3) uint8, RGB, on white.

    Raises:
        ValueError: if there is no colour.
    """
    if not len(colors):
        raise ValueError("A bar needs at least one colour.")
    unit = line_scale(width)
    bar, tick, font = _BAR * unit, _TICK * unit, _FONT * unit
    strip = np.full((bar + tick + font + 6 * unit, width, 3), 255, np.uint8)
    strip[:bar] = cv2.resize(colors[None], (width, bar), interpolation=cv2.INTER_NEAREST)
    for place, words in ticks.items():
        column = min(int(place * width), width - unit)
        strip[bar : bar + tick, column : column + unit] = _TEXT
        half = text_width(words, font) / 2 + 1
        middle = min(max(column, half), width - half)  # words at the ends stay on the picture
        draw_text(strip, words, (middle, bar + tick + 2 * unit), font, _TEXT, anchor="ma")
    return strip
