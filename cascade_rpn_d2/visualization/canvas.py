"""The few strokes that every picture is made of: boxes, dots, arrows and words on an RGB array.

Images are (H, W, 3) uint8 in RGB order. Coordinates are continuous as everywhere in this package:
the first pixel reaches from 0 to 1, so its centre is at 0.5. Lines are anti-aliased and placed to a
fraction of a pixel. The functions named ``draw_*`` change the image that they are given. Widths of
lines, dashes, dots and rings are for images of up to 1,500 pixels, and grow with larger ones, see
:func:`line_scale`.
"""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any, ParamSpec

import cv2
import matplotlib
import numpy as np
import numpy.typing as npt
import torch
from detectron2.structures import Boxes
from PIL import Image, ImageDraw, ImageFont

P = ParamSpec("P")
Color = tuple[int, int, int]
RGBImage = npt.NDArray[np.uint8]

# Pixels of the longer side of an image for each pixel of a line: one on what fills a screen, four
# on a photograph of 12 megapixels.
_PIXELS_PER_LINE = 1000
# Of the figure that is being drawn, whose images may be small.
_figure_scale: ContextVar[int] = ContextVar("figure_scale", default=1)
_FRACTION_BITS = 4
# Far outside any image, and yet within the 32 bit that OpenCV has for shifted coordinates.
_FARTHEST = 1e6


def as_rgb(image: Any) -> RGBImage:
    """A copy of an image that may be drawn on.

    Raises:
        ValueError: if it is not an (H, W, 3) uint8 array with at least one pixel.
    """
    array = np.asarray(image)
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8 or array.size == 0:
        raise ValueError(
            "An image must be an (H, W, 3) uint8 array in RGB order, not "
            f"{array.shape} {array.dtype}."
        )
    return np.array(array, order="C")


def as_boxes(boxes: Any) -> npt.NDArray[np.float64]:
    """Boxes (n, 4) XYXY of a tensor on any device, an array, a list or a Detectron2 ``Boxes``.

    Raises:
        ValueError: if they have another shape or are not finite.
    """
    if isinstance(boxes, Boxes):
        boxes = boxes.tensor
    if isinstance(boxes, torch.Tensor):
        boxes = boxes.detach().cpu().double().numpy()
    array = np.asarray(boxes, dtype=np.float64)
    if array.size == 0:
        return np.zeros((0, 4))
    if array.ndim != 2 or array.shape[1] != 4 or not np.isfinite(array).all():
        raise ValueError(f"Boxes must be finite and of shape (n, 4), not {array.shape}.")
    return array


def line_scale(image: RGBImage | int) -> int:
    """How many pixels a line of one pixel takes on an image (H, W, 3): 1 up to a side of 1,500.

    Args:
        image: or the pixels of its longer side.
    """
    side = image if isinstance(image, int) else max(image.shape[:2])
    own = (side + _PIXELS_PER_LINE // 2 - 1) // _PIXELS_PER_LINE
    return max(_figure_scale.get(), own)


def figure(draw: Callable[P, RGBImage]) -> Callable[P, RGBImage]:
    """Have a function with an argument ``width`` draw all its images with lines for that width, so
    that a larger figure is the same in more detail."""
    signature = inspect.signature(draw)

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> RGBImage:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        token = _figure_scale.set(line_scale(int(bound.arguments["width"])))
        try:
            return draw(*args, **kwargs)
        finally:
            _figure_scale.reset(token)

    return drawn


def rescale(image: RGBImage, scale: float) -> RGBImage:
    """An image ``scale`` times as large, at least one pixel wide and high."""
    height, width = image.shape[:2]
    size = max(1, round(width * scale)), max(1, round(height * scale))
    if size == (width, height):
        return image.copy()
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, size, interpolation=how), dtype=np.uint8)


def fade(image: RGBImage, amount: float, towards: Color = (255, 255, 255)) -> RGBImage:
    """An image mixed with a colour: unchanged for an ``amount`` of 0, only the colour for 1."""
    mixed = image * (1.0 - amount) + np.asarray(towards) * amount
    return np.asarray(mixed.round(), dtype=np.uint8)


def draw_boxes(
    image: RGBImage, boxes: Any, color: Color, thickness: int = 1, opacity: float = 1.0
) -> None:
    """Outline boxes (n, 4), in pixels of the image; the line is centred on the edge of the box.

    A line of one pixel is moved to the nearest pixels, or it would be smeared over two of them.
    """
    thickness *= line_scale(image)
    for x1, y1, x2, y2 in _line_centers(image, as_boxes(boxes), thickness):
        half = thickness / 2
        left, top, right, bottom = x1 - half, y1 - half, x2 + half, y2 + half
        if min(x2 - x1, y2 - y1) <= thickness:
            fill_box(image, (left, top, right, bottom), color, opacity)
            continue
        for bar in (
            (left, top, right, y1 + half),
            (left, y2 - half, right, bottom),
            (left, y1 + half, x1 + half, y2 - half),
            (x2 - half, y1 + half, right, y2 - half),
        ):
            fill_box(image, bar, color, opacity)


def draw_dashed_boxes(
    image: RGBImage,
    boxes: Any,
    color: Color,
    thickness: int = 1,
    opacity: float = 1.0,
    dash: float = 6.0,
) -> None:
    """As :func:`draw_boxes`, with dashes of ``dash`` pixels and gaps as long as these."""
    thickness *= line_scale(image)
    dash *= line_scale(image)
    for x1, y1, x2, y2 in _line_centers(image, as_boxes(boxes), thickness):
        half = thickness / 2
        for left, right in _dashes(x1 - half, x2 + half, image.shape[1], dash):
            for y in (y1, y2):
                fill_box(image, (left, y - half, right, y + half), color, opacity)
        for top, bottom in _dashes(y1 - half, y2 + half, image.shape[0], dash):
            for x in (x1, x2):
                fill_box(image, (x - half, top, x + half, bottom), color, opacity)


def _dashes(start: float, end: float, size: int, dash: float) -> list[tuple[float, float]]:
    """Dashes from ``start`` to ``end``, as far as they are among ``size`` pixels."""
    end = min(end, size + dash)
    return [(x, min(x + dash, end)) for x in np.arange(max(start, -dash), end, 2 * dash)]


def _line_centers(
    image: RGBImage, boxes: npt.NDArray[np.float64], thickness: int
) -> npt.NDArray[np.float64]:
    """Where the lines around boxes (n, 4) are drawn."""
    height, width = image.shape[:2]
    size = np.array([width, height, width, height])
    # An edge on the border of the image is drawn on the last pixels that can be seen.
    edges = np.where(np.abs(boxes - size) <= 0.5, size - 0.5, boxes)
    return np.floor(edges) + 0.5 if thickness == 1 else edges


def fill_box(image: RGBImage, box: Sequence[float], color: Color, opacity: float = 1.0) -> None:
    """Fill a box (x1, y1, x2, y2); a pixel that it covers in part takes that part of the colour.

    OpenCV's anti-aliased lines are wider than asked for, too wide for crowds of small boxes.
    """
    x1, y1, x2, y2 = box
    columns, across = _coverage(x1, x2, image.shape[1])
    rows, down = _coverage(y1, y2, image.shape[0])
    share = opacity * down[:, None, None] * across[None, :, None]
    part = image[rows, columns]
    part[:] = np.rint(part + share * (np.asarray(color) - part.astype(np.float64)))


def _coverage(start: float, end: float, size: int) -> tuple[slice, npt.NDArray[np.float64]]:
    """Which of ``size`` pixels in a line an interval touches, and the shares that it covers."""
    start, end = max(start, 0.0), min(end, float(size))
    if start >= end:
        return slice(0, 0), np.zeros(0)
    pixels = np.arange(int(start), int(np.ceil(end)))
    return slice(pixels[0], pixels[-1] + 1), np.minimum(pixels + 1, end) - np.maximum(pixels, start)


def draw_dot(image: RGBImage, point: Sequence[float], radius: float, color: Color) -> None:
    """A filled disc around ``point`` (x, y), its dark rim setting it off from any background."""
    center = (_fixed_point(point[0]), _fixed_point(point[1]))
    for size, paint in ((radius + 1.0, (20, 20, 20)), (radius, color)):
        fixed = round(size * line_scale(image) * (1 << _FRACTION_BITS))
        cv2.circle(image, center, fixed, paint, cv2.FILLED, cv2.LINE_AA, shift=_FRACTION_BITS)


def draw_ring(image: RGBImage, point: Sequence[float], radius: float, color: Color) -> None:
    """A circle around ``point`` (x, y) that leaves what is inside it to be seen."""
    center = (_fixed_point(point[0]), _fixed_point(point[1]))
    width = line_scale(image)
    fixed = round(radius * width * (1 << _FRACTION_BITS))
    cv2.circle(image, center, fixed, color, width, cv2.LINE_AA, shift=_FRACTION_BITS)


def draw_arrow(
    image: RGBImage, start: Sequence[float], end: Sequence[float], color: Color, thickness: int = 1
) -> None:
    """An arrow from ``start`` (x, y) to ``end`` (x, y)."""
    first, last = ((_fixed_point(x), _fixed_point(y)) for x, y in (start, end))
    length = float(np.hypot(end[0] - start[0], end[1] - start[1]))
    if length > 0:
        thickness, tip = line_scale(image) * thickness, line_scale(image) * (5.0 + thickness)
        tip = min(0.5, tip / length)
        cv2.arrowedLine(
            image, first, last, color, thickness, cv2.LINE_AA, _FRACTION_BITS, tipLength=tip
        )


def draw_text(
    image: RGBImage,
    text: str,
    position: tuple[float, float],
    size: int = 14,
    color: Color = (30, 30, 30),
    bold: bool = False,
    anchor: str = "la",
) -> None:
    """Words at ``position`` (x, y); ``size`` in pixels, ``anchor`` as Pillow has it."""
    canvas = Image.fromarray(image)
    ImageDraw.Draw(canvas).text(position, text, color, font(size, bold), anchor)
    image[:] = np.asarray(canvas)


def text_width(text: str, size: int, bold: bool = False) -> int:
    """Pixels that a line of words takes."""
    return round(font(size, bold).getlength(text))


@functools.lru_cache(maxsize=32)
def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which Matplotlib brings along, so that pictures look the same everywhere."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", name)), size)


def save_image(path: str | os.PathLike[str], image: RGBImage) -> None:
    """Write an RGB image; the suffix chooses the format, and missing folders are made.

    Raises:
        ValueError: if OpenCV knows no format of that suffix.
        OSError: if the file cannot be written.
    """
    file = Path(path)
    try:
        ok, data = cv2.imencode(file.suffix, cv2.cvtColor(as_rgb(image), cv2.COLOR_RGB2BGR))
    except cv2.error:
        ok = False
    if not ok:
        raise ValueError(f"Cannot write '{file}': name it *.png or *.jpg.")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data.tobytes())
    except OSError as error:
        raise OSError(
            f"Cannot write {file} ({error.strerror}): make room there, or give another path."
        ) from error


def _fixed_point(value: float) -> int:
    # OpenCV puts the centre of the first pixel at 0, we at 0.5.
    return round((min(max(value, -_FARTHEST), _FARTHEST) - 0.5) * (1 << _FRACTION_BITS))
