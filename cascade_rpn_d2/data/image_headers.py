"""What the beginning of an image file says: its size, its depth, and how EXIF turns it.

Every image that this package opens is opened here, and a file that cannot be read ends in one
sentence. Nothing is decoded before the caller asks for pixels.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from detectron2.utils.file_io import PathManager
from PIL import Image, UnidentifiedImageError

from ..files.untrusted import other_kind

PathLike = str | os.PathLike[str]

_ORIENTATION = 0x0112  # the EXIF tag
# What undoes the value of the tag; those from 5 on exchange width and height.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_EXCHANGING = frozenset((5, 6, 7, 8))

# How Pillow calls pixels of 16 bits a channel that it would cut to 8. (BGR;16 are 5, 6 and 5 bits.)
_DEEP_PIXELS = re.compile(r"(L|LA|RGB|RGBA|RGBa|RGBX|CMYK);16[A-Z]?$")
# TIFF's tags: of the depth, and of offsets and lengths of strips and of tiles.
_BITS_PER_SAMPLE = 258
_PARTS_OF_TIFF = ((273, 279), (324, 325))
_TAIL = 4096  # bytes at the end of a file that are searched for its end mark


class UnreadableImageError(OSError):
    """An image file cannot be read, or not as it is. The message names it and says what to do."""


@dataclass(frozen=True)
class ImageHeader:
    """What a file says of its image.

    Args:
        width, height: pixels of the image as it is read, turned as its EXIF data say.
        orientation: of the EXIF data, from 1 to 8; 1 for an image that stays as it is.
        depth: words for what is more than 8 bits a channel, None for other images.
        complete: whether the file ends as its format has it. Otherwise it may be cut off, or have
            something behind the image, as phones add; decoding it tells.
    """

    width: int
    height: int
    orientation: int = 1
    depth: str | None = None
    complete: bool = True

    @property
    def turned(self) -> bool:
        """Whether EXIF exchanges the sides of the image in the file."""
        return self.orientation in _EXCHANGING


def read_header(path: PathLike) -> ImageHeader:
    """The header of an image file.

    Raises:
        UnreadableImageError: if there is no such file, or it is no image.
    """
    with open_image(path) as image:
        return header_of(image)


@contextlib.contextmanager
def open_image(path: PathLike) -> Iterator[Image.Image]:
    """An image file whose pixels are not decoded yet, whatever their number.

    Args:
        path: a file, or an address that Detectron2's ``PathManager`` knows.

    Raises:
        UnreadableImageError: if it cannot be opened, or the block fails while it is read.
    """
    try:
        with PathManager.open(os.fspath(path), "rb") as file:
            with _LIMIT.lifted():
                image = Image.open(file)
            yield image
    except UnreadableImageError:
        raise
    # A broken file makes Pillow raise nearly anything.
    except Exception as error:
        raise UnreadableImageError(
            f"Cannot read image {os.fspath(path)}: it {_reason(path, error)}; replace it, or leave "
            "it out."
        ) from error


def header_of(image: Image.Image) -> ImageHeader:
    """The header of an opened image, none of whose pixels are decoded for it."""
    width, height = image.size
    depth, tail = _depth_of(image), _tail_of(image)
    # Pillow would decode a PNG, however large it is, to find EXIF data behind the pixels.
    if image.format == "PNG" and "exif" not in image.info:
        if exif := _exif_behind(tail):
            image.info["exif"] = exif
    orientation = orientation_of(image)
    if orientation in _EXCHANGING and image.format != "TIFF":  # those Pillow turns itself
        width, height = height, width
    return ImageHeader(width, height, orientation, depth, _ends_well(image, tail))


def orientation_of(image: Image.Image) -> int:
    """The orientation that the EXIF data of an opened image state; 1 where they do not."""
    try:
        exif = Image.Image.getexif(image)  # that of a PNG decodes the image first
    except Exception:  # broken EXIF data are as good as none
        return 1
    value = exif.get(_ORIENTATION)
    return value if value in TURNS else 1


class _PillowLimit:
    """Pillow's own limit of pixels, which is the same for all and could not be raised otherwise.

    Ours, which the reader of the pixels applies, takes its place while a file is opened, in however
    many threads at once.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open = 0
        self._saved: int | None = None

    @contextlib.contextmanager
    def lifted(self) -> Iterator[None]:
        with self._lock:
            if self._open == 0:
                self._saved, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            self._open += 1
        try:
            yield
        finally:
            with self._lock:
                self._open -= 1
                if self._open == 0:
                    Image.MAX_IMAGE_PIXELS = self._saved


_LIMIT = _PillowLimit()


def _reason(path: PathLike, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "does not exist"
    if isinstance(error, MemoryError):
        return "takes more memory than there is"
    if isinstance(error, UnidentifiedImageError):
        with contextlib.suppress(OSError):
            if kind := other_kind(path):
                return kind.partition(":")[0]
        return "is no image, or of a format that is not known here"
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be opened ({error.strerror})"
    return "is cut off or damaged"


def _depth_of(image: Image.Image) -> str | None:
    if image.mode == "F":
        return "floating-point values"
    if image.mode == "I":
        return "integers of up to 32 bits"
    tags = getattr(image, "tag_v2", {})
    bits = max(tags.get(_BITS_PER_SAMPLE) or (8,)) if image.format == "TIFF" else 8
    if image.mode.startswith("I;16") or bits > 8 or _is_cut(image):
        return f"{bits if bits > 8 else 16} bits a channel"
    return None


def _is_cut(image: Image.Image) -> bool:
    """Whether Pillow cuts the channels of an image to 8 bits when it decodes them."""
    for tile in getattr(image, "tile", ()):
        args = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
        if image.format == "PPM" and any(isinstance(a, int) and a > 255 for a in args):
            return True  # the greatest value of a channel
        if any(isinstance(a, str) and _DEEP_PIXELS.match(a) for a in args):
            return True
    return False


def _tail_of(image: Image.Image) -> bytes:
    """The last bytes of the file of an opened image."""
    file = _file_of(image)
    if file is None:
        return b""
    place = file.tell()
    file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
    tail = file.read(_TAIL)
    file.seek(place)
    return tail


def _exif_behind(tail: bytes) -> bytes | None:
    """The EXIF data in the last bytes of a PNG, as Pillow has them in ``info``."""
    start = tail.find(b"eXIf")
    while start >= 0:
        end = start + 4 + int.from_bytes(tail[max(0, start - 4) : start], "big")
        chunk, checksum = tail[start:end], tail[end : end + 4]
        if checksum == zlib.crc32(chunk).to_bytes(4, "big"):
            return b"Exif\0\0" + chunk[4:]
        start = tail.find(b"eXIf", start + 1)  # that one was among the pixels
    return None


def _ends_well(image: Image.Image, tail: bytes) -> bool:
    """Whether a file has an end, as far as its format says what that is."""
    if image.format in ("JPEG", "MPO"):
        return b"\xff\xd9" in tail
    if image.format == "PNG":
        return b"IEND" in tail
    if image.format == "GIF":
        return tail.rstrip(b"\0").endswith(b";")
    file = _file_of(image)
    if file is None:
        return True
    place = file.tell()
    size = file.seek(0, os.SEEK_END)
    end = 0
    if image.format == "BMP":
        file.seek(2)
        end = int.from_bytes(file.read(4), "little")
    elif image.format == "TIFF":
        end = _last_byte(image)
    file.seek(place)
    return end <= size


def _last_byte(image: Image.Image) -> int:
    """Where the last strip or tile of a TIFF file ends."""
    tags = getattr(image, "tag_v2", {})
    for offsets, counts in _PARTS_OF_TIFF:
        if tags.get(offsets) and tags.get(counts):
            parts = zip(tags[offsets], tags[counts], strict=False)
            return max(offset + count for offset, count in parts)
    return 0


def _file_of(image: Image.Image) -> IO[bytes] | None:
    return getattr(image, "fp", None)
