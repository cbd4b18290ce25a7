"""The pixels of an image file: the one place where images are read.

Detectron2's ``read_image`` with three differences: more pixels than a limit are refused before they
are decoded, images of more than 8 bits a channel are scaled by a stated range or refused (Pillow
would clip them to all white or all black), and what cannot be read is named.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from detectron2.data.detection_utils import convert_PIL_to_numpy
from detectron2.utils.file_io import PathManager
from PIL import Image

from ..files.untrusted import MAX_IMAGE_PIXELS
from .image_headers import (
    TURNS,
    PathLike,
    UnreadableImageError,
    header_of,
    open_image,
)


@dataclass(frozen=True)
class ImageReader:
    """Reads image files.

    Args:
        depth_range: the two values that become 0 and 255 in images of more than 8 bits a channel;
            what is beyond them becomes 0 or 255 too. None refuses such images. Others stay as they
            are.
        max_pixels: an image of more pixels is refused.

    Raises:
        ValueError: if the range is not of two finite numbers, the lower first, or the limit is no
            positive integer.
    """

    depth_range: Sequence[float] | None = None
    max_pixels: int = MAX_IMAGE_PIXELS

    def __post_init__(self) -> None:
        if self.depth_range is not None:
            values = tuple(self.depth_range)
            numbers = [v for v in values if _is_number(v) and math.isfinite(v)]
            if len(values) != 2 or len(numbers) != 2 or values[0] >= values[1]:
                raise ValueError(
                    "The depth range is the two values that become black and white, the lower "
                    f"first, such as [0, 4095], not {list(values)}."
                )
            object.__setattr__(self, "depth_range", values)  # of a config it is no tuple
        if not _is_number(self.max_pixels) or self.max_pixels < 1 or self.max_pixels % 1:
            raise ValueError(
                f"The limit of pixels must be a positive integer, not {self.max_pixels!r}."
            )

    def __call__(self, path: PathLike, image_format: str = "BGR") -> npt.NDArray[np.uint8]:
        """The image of a file, turned as its EXIF data say.

        Args:
            path: the file.
            image_format: as of Detectron2's ``read_image``.

        Returns:
            (H, W, C) uint8, of 3 channels for ``"BGR"`` and ``"RGB"`` whatever the file has.

        Raises:
            UnreadableImageError: if the file cannot be read, or is not to be read; names it.
        """
        with open_image(path) as image:
            header = header_of(image)
            self.require_allowed(path, header.width, header.height)
            # Who decodes a TIFF turns it.
            turn = None if image.format == "TIFF" else TURNS.get(header.orientation)
            if header.depth is not None:
                image = _to_8_bits(path, image, header.depth, self.depth_range)
            if turn is not None:
                image = image.transpose(turn)
            return np.ascontiguousarray(convert_PIL_to_numpy(image, image_format))

    def require_allowed(self, path: PathLike, width: int, height: int) -> None:
        """Check the size of an image or of the frames of a video.

        Raises:
            UnreadableImageError: if it has too many pixels.
        """
        if width * height > self.max_pixels:
            raise UnreadableImageError(
                f"{path} has {width} x {height} pixels, more than the {self.max_pixels:,} that are "
                f"read: leave it out, or give --max-pixels {width * height}."
            )


def scale_to_8_bits(values: npt.NDArray[Any], low: float, high: float) -> npt.NDArray[np.uint8]:
    """Numbers of any type, from ``low`` and less as 0 to ``high`` and more as 255; NaN as 0."""
    if values.dtype.kind == "u" and values.dtype.itemsize == 2:
        table = scale_to_8_bits(np.arange(1 << 16, dtype=np.float64), low, high)
        return table[values]
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = (values.astype(np.float64) - low) * (255.0 / (high - low))
    return np.rint(np.nan_to_num(scaled, nan=0.0).clip(0.0, 255.0)).astype(np.uint8)


def likely_range(path: PathLike) -> tuple[float, float]:
    """A depth range to suggest for an image: that of the bits that its values take.

    Raises:
        UnreadableImageError: if it cannot be read.
    """
    with open_image(path) as image:
        return _range_of(_deep_values(path, image))


def _to_8_bits(
    path: PathLike, image: Image.Image, depth: str, depth_range: Sequence[float] | None
) -> Image.Image:
    values = _deep_values(path, image)
    if depth_range is None:
        low, high = _range_of(values)
        raise UnreadableImageError(
            f"{path} has {depth}: give the values that become black and white in all images, such "
            f"as --depth-range {low:g} {high:g}."
        )
    return Image.fromarray(scale_to_8_bits(values, *depth_range))


def _deep_values(path: PathLike, image: Image.Image) -> npt.NDArray[Any]:
    """(H, W) or (H, W, 3) in RGB order, as the file has them and not turned."""
    if image.mode == "F" or image.mode.startswith("I"):
        return np.asarray(image)
    # Of 16 bits a colour Pillow keeps 8.
    with PathManager.open(str(path), "rb") as file:
        content = np.frombuffer(file.read(), np.uint8)
    values = cv2.imdecode(content, cv2.IMREAD_UNCHANGED)
    if values is None or values.ndim == 2:
        raise ValueError("OpenCV reads no colours of it")
    return values[..., 2::-1]


def _range_of(values: npt.NDArray[Any]) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if values.dtype.kind == "f" and 0 <= low and high <= 1:
        return 0.0, 1.0
    if values.dtype.kind in "ui" and 0 <= low and high < 1 << 16:
        return 0.0, float((1 << max(8, int(high).bit_length())) - 1)
    return low, high if high > low else low + 1


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


DEFAULT_READER = ImageReader()
