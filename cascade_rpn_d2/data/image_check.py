"""All images of a folder looked at before a run: what would end it hours later ends it at once.

The headers are read, in parallel, and only those of files that are new or have changed since the
last time. A file that does not end as its format has it is decoded to see whether it is whole.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image
from tqdm import tqdm

from ..files.atomic import write_atomically
from .cache import cache_dir
from .image_file import ImageReader, likely_range
from .image_headers import ImageHeader, UnreadableImageError, open_image, read_header

logger = logging.getLogger(__name__)

_THREADS = 16  # for disks that answer late; the work itself is 0.1 to 0.2 ms a file
_BATCH = 64  # files that a thread takes at once
_WORTH_KEEPING = 64  # files that were read; fewer are read again as fast as they are looked up
# Folder in the cache; to be renamed with every change of what a header is made of.
_CACHE = "image_headers_1"
_NAMED = 3  # how many of several culprits a message names


def check_images(
    records: Sequence[dict[str, Any]],
    folder: str | os.PathLike[str],
    what: str,
    reader: ImageReader,
) -> None:
    """Check that all images can be read as they are, in the sizes that their annotations state.

    Args:
        records: Detectron2's dicts of the images.
        folder: of the images; what is found is kept for it in the cache folder.
        what: how to call the dataset.
        reader: says how images will be read.

    Raises:
        ValueError: if images cannot be used; says how many, why, the first names and what to do.
    """
    start = time.perf_counter()
    Image.init()  # threads that each do it would miss formats
    headers = _Headers(Path(folder), reader)
    flaws: dict[str, list[str]] = {}
    with (
        ThreadPoolExecutor(_THREADS) as pool,
        tqdm(total=len(records), desc="Images", unit="", delay=1, disable=None) as bar,
    ):
        batches = [records[i : i + _BATCH] for i in range(0, len(records), _BATCH)]
        for batch, found in zip(batches, pool.map(headers.of, batches), strict=True):
            for record, header in zip(batch, found, strict=True):
                kind, words = _flaw(record, header, reader)
                if kind:
                    flaws.setdefault(kind, []).append(words)
            bar.update(len(batch))
    headers.keep()
    if flaws:
        raise ValueError(_sentence(flaws, len(records), what, reader))
    kept = f", {headers.known} of them from the cache" if len(records) >= _WORTH_KEEPING else ""
    logger.info(
        "Checked the headers of %d images of %s in %.1f s%s.",
        *(len(records), what, time.perf_counter() - start, kept),
    )


class _Headers:
    """The headers of the files of a folder, of which those that were read well are kept."""

    def __init__(self, folder: Path, reader: ImageReader) -> None:
        self.known = 0
        self._reader = reader
        digest = hashlib.sha256(os.fsencode(folder.absolute())).hexdigest()[:16]
        self._file = cache_dir() / _CACHE / f"{digest}.json"
        self._read: dict[str, list[Any]] = {}
        try:
            kept = json.loads(self._file.read_text())
        except (OSError, ValueError):
            kept = None
        self._kept: dict[str, list[Any]] = kept if isinstance(kept, dict) else {}

    def of(self, records: Iterable[dict[str, Any]]) -> list[ImageHeader | UnreadableImageError]:
        """The header of each image, or why there is none."""
        return [self._header(record["file_name"]) for record in records]

    def _header(self, path: str) -> ImageHeader | UnreadableImageError:
        try:
            status = os.stat(path)
            version = [status.st_size, status.st_mtime_ns]
            kept = self._kept.get(path, [])
            if kept[:2] == version:
                self.known += 1
                return ImageHeader(*kept[2:])
        except OSError:
            version = []  # an address, or reading it will say why not
        try:
            header = read_header(path)
            allowed = header.width * header.height <= self._reader.max_pixels
            if not header.complete and allowed:
                with open_image(path) as image:
                    image.load()
                header = replace(header, complete=True)
        except UnreadableImageError as error:
            return error
        if version and header.complete:
            fields = [header.width, header.height, header.orientation, header.depth]
            self._read[path] = [*version, *fields]
        return header

    def keep(self) -> None:
        """Write what was read for the next time, if that is possible."""
        if len(self._read) < _WORTH_KEEPING:
            return
        content = json.dumps({**self._kept, **self._read}).encode()
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self._file, lambda file: file.write(content))
        except OSError as error:
            logger.debug("The headers of images are not kept: %s", error)


def _flaw(
    record: dict[str, Any], header: ImageHeader | UnreadableImageError, reader: ImageReader
) -> tuple[str, str]:
    """A kind and the words for an image that cannot be used; two empty texts for others."""
    path = record["file_name"]
    name = Path(path).name
    if isinstance(header, UnreadableImageError):
        return "unreadable", name
    size, stated = (header.width, header.height), (record.get("width"), record.get("height"))
    if None not in stated and size != stated:
        if size == stated[::-1]:
            return ("turned" if header.turned else "exchanged"), name
        return "size", f"{name} has {size[0]} x {size[1]}, not {stated[0]} x {stated[1]}"
    if header.width * header.height > reader.max_pixels:
        return "large", f"{name} has {header.width} x {header.height}"
    if header.depth is not None and reader.depth_range is None:
        return "deep", path
    return "", ""


# Kind of a flaw -> what images with it do, and what to do with them.
_FLAWS = {
    "unreadable": ("cannot be read", "replace {them}, or remove {them} from the file"),
    "turned": (
        "{are} turned by EXIF data, which exchange the width and height that the file states",
        "if the boxes were drawn on the image as it was before, remove its EXIF orientation "
        "(`exiftool -Orientation= FILE`), or else exchange width and height in the file",
    ),
    "exchanged": (
        "{have} the width and height that the file states exchanged",
        "look which of the two the boxes were drawn on",
    ),
    "size": ("{have} another size than the file states", "annotate {them} in {their} own size"),
    "large": (
        "{have} more than {max_pixels:,} pixels",
        "leave {them} out, or raise --max-pixels",
    ),
    "deep": (
        "{have} more than 8 bits a channel",
        "give the values that become black and white in all images, such as "
        "--depth-range {low:g} {high:g}",
    ),
}
_ONE = {"are": "is", "have": "has", "them": "it", "their": "its"}
_MANY = {word: word for word in _ONE}


def _sentence(flaws: dict[str, list[str]], total: int, what: str, reader: ImageReader) -> str:
    parts = []
    for kind, (phrase, advice) in _FLAWS.items():
        names = flaws.get(kind, [])
        if not names:
            continue
        words: dict[str, Any] = {**(_ONE if len(names) == 1 else _MANY)}
        words["max_pixels"] = reader.max_pixels
        if kind == "deep":
            words["low"], words["high"] = likely_range(names[0])
        shown = ", ".join(Path(n).name if kind == "deep" else n for n in names[:_NAMED])
        more = ", ..." if len(names) > _NAMED else ""
        phrase, advice = phrase.format_map(words), advice.format_map(words)
        parts.append(f"{len(names)} {phrase} ({shown}{more}): {advice}")
    bad = sum(map(len, flaws.values()))
    return f"{bad} of the {total} images of {what} cannot be used: {'; '.join(parts)}."
