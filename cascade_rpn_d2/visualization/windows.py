"""The part of an image that a picture shows: around some boxes, enlarged."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from .canvas import Color, RGBImage, fade, rescale

Window = tuple[float, float, float, float]

# Where there is no image.
OUTSIDE: Color = (70, 74, 80)
# Room around all places, relative to their extent: of the image, and outside it.
_ROOM, _OUTER_ROOM = 0.18, 0.04
# Least side of what is shown, in pixels of the image.
_LEAST_SIDE = 8.0


def window_around(
    image_size: tuple[int, ...],
    places: npt.NDArray[np.float64],
    *,
    room: float = _ROOM,
    aspect: float = 1.0,
) -> Window:
    """The part of an image around some places, of a certain shape where the image has one.

    It leaves the image only as far as the places do.

    Args:
        image_size: height and width of the image.
        places: (n, 2), x and y in its pixels, at least one.
        room: around them on each side, relative to their extent.
        aspect: width by height.

    Returns:
        Its box XYXY, in image pixels.
    """
    low, high = places.min(axis=0), places.max(axis=0)
    shape = np.array((aspect, 1.0))
    extent = max(float(((high - low) / shape).max()), _LEAST_SIDE / (1 + 2 * room))
    side, outer = extent * (1 + 2 * room) * shape, extent * _OUTER_ROOM
    first = np.minimum(0.0, low - outer)
    last = np.maximum(np.array(image_size[::-1], np.float64), high + outer)
    start = np.clip((low + high - side) / 2, first, np.maximum(last - side, first))
    end = np.minimum(start + side, last)
    return float(start[0]), float(start[1]), float(end[0]), float(end[1])


def cut_window(image: RGBImage, window: Window, scale: float, darkness: float = 0.0) -> RGBImage:
    """A part of an image, enlarged; what lies outside the image is grey.

    Args:
        image: (H, W, 3).
        window: box XYXY in its pixels.
        scale: pixels of the part by those of the image.
        darkness: how dark the image becomes: 1 for black.
    """
    left, top, right, bottom = window
    # Whole pixels are enlarged and then cut, so that no edge is moved by a fraction of a pixel.
    x1, y1 = math.floor(left), math.floor(top)
    x2, y2 = math.ceil(right) + 1, math.ceil(bottom) + 1
    part = np.full((y2 - y1, x2 - x1, 3), OUTSIDE, np.uint8)
    height, width = image.shape[:2]
    seen_x, seen_y = slice(max(x1, 0), min(x2, width)), slice(max(y1, 0), min(y2, height))
    if seen_x.start < seen_x.stop and seen_y.start < seen_y.stop:
        inside = fade(image[seen_y, seen_x], darkness, (0, 0, 0))
        part[seen_y.start - y1 : seen_y.stop - y1, seen_x.start - x1 : seen_x.stop - x1] = inside
    large = rescale(part, scale)
    dx, dy = round((left - x1) * scale), round((top - y1) * scale)
    rows, columns = round((bottom - top) * scale), round((right - left) * scale)
    return large[dy : dy + rows, dx : dx + columns].copy()


def in_window(
    places: npt.NDArray[np.float64], window: Window, scale: float
) -> npt.NDArray[np.float64]:
    """Points (..., 2) or boxes (..., 4) of the image in pixels of :func:`cut_window`'s part."""
    return (places - np.tile(window[:2], places.shape[-1] // 2)) * scale
