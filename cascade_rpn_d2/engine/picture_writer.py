"""Results as files: a picture for every image, a video for every video."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import cv2

from ..data.images import Frame, Source, frame_rate
from ..files.folders import make_writable
from ..visualization import save_image
from ..visualization.canvas import RGBImage

# Formats that OpenCV writes; an image in another one becomes a PNG.
_PICTURE_SUFFIXES = frozenset(".jpg .jpeg .png .bmp .tif .tiff .webp".split())


class PictureWriter:
    """Writes the frames of sources, which must come source by source, to a folder.

    A context manager: leaving it completes the last video. A video of odd width or height loses its
    last column or row, because the codec works on even sizes.

    Args:
        folder: made if need be.
        sources: what frames will be from.

    Raises:
        ValueError: if a result would replace one of the sources.
        OSError: if the folder cannot be made or written to.
    """

    def __init__(self, folder: str | os.PathLike[str], sources: Sequence[Source]) -> None:
        self.folder = Path(folder)
        make_writable(self.folder, f"the output folder {folder}", "give another one.")
        names = distinct_names([_result_name(source) for source in sources])
        self.targets = {s.path: self.folder / n for s, n in zip(sources, names, strict=True)}
        originals = {path.resolve() for path in self.targets}
        for target in self.targets.values():
            if target.resolve() in originals:
                raise ValueError(
                    f"The result {target} would replace an image that is read: give another folder."
                )
        self._video: cv2.VideoWriter | None = None
        self._video_of: Source | None = None

    def write(self, frame: Frame, picture: RGBImage) -> None:
        """Write what became of a frame, an RGB picture as large as the frame.

        Raises:
            OSError: if it cannot be written.
        """
        target = self.targets[frame.source.path]
        if frame.source != self._video_of:
            self.close()
        if not frame.source.is_video:
            save_image(target, picture)
            return
        if self._video is None:
            self._video, self._video_of = _open_video(target, frame, picture), frame.source
        self._video.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))

    def close(self) -> None:
        """Complete the video that is being written, if there is one."""
        if self._video is not None:
            self._video.release()
        self._video = self._video_of = None

    def __enter__(self) -> PictureWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def distinct_names(names: Sequence[Path]) -> list[Path]:
    """The same paths, those that occurred before made different: ``a.jpg``, ``a-2.jpg``, ...

    Names that differ in case only count as equal, as some file systems have it.
    """
    taken = {str(name).lower() for name in names}
    seen: set[str] = set()
    distinct = []
    for name in names:
        unique, number = name, 1
        if str(name).lower() in seen:
            while str(unique).lower() in taken:
                number += 1
                unique = name.with_name(f"{name.stem}-{number}{name.suffix}")
            taken.add(str(unique).lower())
        seen.add(str(unique).lower())
        distinct.append(unique)
    return distinct


def _result_name(source: Source) -> Path:
    if source.is_video:
        return source.name.with_suffix(".mp4")
    known = source.name.suffix.lower() in _PICTURE_SUFFIXES
    return source.name if known else source.name.with_suffix(".png")


def _open_video(target: Path, frame: Frame, picture: RGBImage) -> cv2.VideoWriter:
    target.parent.mkdir(parents=True, exist_ok=True)
    height, width = picture.shape[:2]
    codec = cv2.VideoWriter.fourcc(*"mp4v")
    video = cv2.VideoWriter(str(target), codec, frame_rate(frame.source), (width, height))
    if not video.isOpened():
        raise OSError(
            f"Cannot write the video {target}: make its folder writable, or install OpenCV with "
            "FFmpeg (opencv-python-headless has it)."
        )
    return video
