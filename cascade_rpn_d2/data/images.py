"""Image files, folders, patterns and videos -> one stream of frames."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from .image_file import DEFAULT_READER, ImageReader
from .image_headers import UnreadableImageError

IMAGE_SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jp2 .png .bmp .dib .tif .tiff .webp .ppm .pgm .gif".split()
)
VIDEO_SUFFIXES = frozenset(".mp4 .avi .mov .mkv .webm .m4v .mpg .mpeg .wmv".split())


@dataclass(frozen=True)
class Source:
    """A file to read.

    Args:
        path: the file.
        name: its place below the folder that was given, else its name.
    """

    path: Path
    name: Path

    @property
    def is_video(self) -> bool:
        """Whether the file holds many frames, by its suffix."""
        return self.path.suffix.lower() in VIDEO_SUFFIXES


@dataclass(frozen=True)
class Frame:
    """One image of a stream.

    Args:
        source: where it is from.
        index: number of the frame in its video from 0; 0 for an image file.
        image: (H, W, 3) uint8, BGR.
    """

    source: Source
    index: int
    image: npt.NDArray[np.uint8]


def find_sources(
    inputs: Sequence[str | os.PathLike[str]], exclude: str | os.PathLike[str] | None = None
) -> list[Source]:
    """The files behind files, folders (searched to the bottom) and patterns such as ``a/*.png``.

    Args:
        inputs: what to read. A file that is named is taken whatever its suffix; in folders, images
            and videos are found by theirs. A file found twice is taken once.
        exclude: a folder that is left out where it lies inside a folder that is searched, such as
            the one that results of an earlier run are in.

    Returns:
        The sources in the order of ``inputs``, sorted within each.

    Raises:
        FileNotFoundError: if an input leads to no image or video.
    """
    results = Path(exclude).resolve() if exclude is not None else None
    found: dict[Path, Source] = {}
    for given in inputs:
        sources = _expand(os.fspath(given), results)
        if not sources:
            raise FileNotFoundError(
                f"There is no image or video at '{os.fspath(given)}': give files, folders or "
                "patterns."
            )
        for source in sources:
            found.setdefault(source.path.resolve(), source)
    return list(found.values())


def read_video(
    path: str | os.PathLike[str], reader: ImageReader = DEFAULT_READER
) -> Iterator[npt.NDArray[np.uint8]]:
    """The frames of a video, each (H, W, 3) uint8 in BGR order.

    Args:
        path: the file.
        reader: limits the pixels of a frame.

    Raises:
        UnreadableImageError: if there is not a single frame, or frames are too large; names the
            file.
    """
    capture = cv2.VideoCapture(os.fspath(path))
    count = 0
    try:
        width, height = (
            int(capture.get(key)) for key in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
        )
        reader.require_allowed(path, width, height)
        while True:
            ok, frame = capture.read()
            if not ok:
                break
            count += 1
            yield np.asarray(frame, dtype=np.uint8)
    finally:
        capture.release()
    if count == 0:
        raise UnreadableImageError(f"Cannot read video {path}: OpenCV finds no frames in it.")


def read_frames(
    sources: Sequence[Source],
    on_unreadable: Callable[[Source, OSError], object],
    reader: ImageReader = DEFAULT_READER,
) -> Iterator[Frame]:
    """All frames of the sources; a source that cannot be read is reported and skipped.

    Args:
        sources: what to read.
        on_unreadable: called with a source and the error that names it.
        reader: reads the images, and limits the pixels of videos.
    """
    for source in sources:
        try:
            if source.is_video:
                for index, image in enumerate(read_video(source.path, reader)):
                    yield Frame(source, index, image)
            else:
                yield Frame(source, 0, reader(source.path))
        except UnreadableImageError as error:
            on_unreadable(source, error)


def count_frames(source: Source) -> int:
    """About how many frames a source has: what the header of a video says, at least 1."""
    if not source.is_video:
        return 1
    capture = cv2.VideoCapture(os.fspath(source.path))
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 1
    capture.release()
    return max(1, count)


def frame_rate(source: Source, default: float = 25.0) -> float:
    """Frames a second of a video; ``default`` where its header does not say."""
    capture = cv2.VideoCapture(os.fspath(source.path))
    rate = float(capture.get(cv2.CAP_PROP_FPS)) if capture.isOpened() else 0.0
    capture.release()
    return rate if 0.0 < rate < 1000.0 else default


def _expand(given: str, exclude: Path | None) -> list[Source]:
    matches = [given] if os.path.exists(given) else sorted(glob.glob(given, recursive=True))
    sources = []
    for path in map(Path, matches):
        sources += _search(path, exclude) if path.is_dir() else [Source(path, Path(path.name))]
    return sources


def _search(folder: Path, exclude: Path | None) -> list[Source]:
    root = folder.resolve()
    if exclude is not None and (exclude == root or not exclude.is_relative_to(root)):
        exclude = None
    return [
        Source(path, path.relative_to(folder))
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in IMAGE_SUFFIXES | VIDEO_SUFFIXES
        and not path.name.startswith(".")
        and path.is_file()
        and not (exclude is not None and path.resolve().is_relative_to(exclude))
    ]
