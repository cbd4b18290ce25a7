"""What ``cascade-rpn predict`` reads: images and videos, with the ids of an annotation file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..data import find_dataset
from ..data.coco_folder import split_spec
from ..data.images import Source, find_sources
from .categories import Categories
from .labelled_images import load_records


@dataclass(frozen=True)
class Inputs:
    """Images and videos.

    Args:
        sources: in the order in which they are read.
        root: folder that the names of the images are relative to.
        image_ids: of an annotation file, by the paths of ``sources``, of which one may have several
            ids; None without one.
        categories: all of that file.
    """

    sources: Sequence[Source]
    root: Path
    image_ids: Mapping[Path, Sequence[int | str]] | None = None
    categories: Categories = field(default_factory=Categories)

    def name_of(self, source: Source) -> str:
        """The path of an image relative to ``root``, with slashes."""
        return Path(os.path.relpath(source.path, self.root)).as_posix()


def find_inputs(
    inputs: Sequence[str | os.PathLike[str]], exclude: str | os.PathLike[str] | None = None
) -> Inputs:
    """The images and videos of a command line.

    Args:
        inputs: files, folders and patterns as of :func:`~..data.images.find_sources`, or one
            ``images_dir:annotations.json`` in COCO format, whose images are read in the order of
            their ids; it may have no annotations.
        exclude: as of :func:`~..data.images.find_sources`.

    Raises:
        ValueError: if an annotation file cannot be used, or is not the only input.
        FileNotFoundError: if an input leads to no image or video, or an image of the annotation
            file is not there.
    """
    texts = [os.fspath(x) for x in inputs]
    files = [x for x in texts if x.endswith(".json") and ":" in x and not os.path.exists(x)]
    if not files:
        sources = find_sources(texts, exclude)
        return Inputs(sources, _root(texts, sources))
    if len(texts) > 1:
        raise ValueError(
            f"{files[0]} gives the images their ids, which others do not have: give it alone."
        )
    root, _ = split_spec(files[0])
    name = find_dataset(files[0])
    ids: dict[Path, list[int | str]] = {}
    for record in load_records(name):
        ids.setdefault(Path(record["file_name"]), []).append(record["image_id"])
    sources = [Source(path, Path(os.path.relpath(path, root))) for path in ids]
    return Inputs(sources, root, ids, Categories.from_dataset(name))


def _root(texts: Sequence[str], sources: Sequence[Source]) -> Path:
    """The folder that was given, if it was one; else the innermost that all sources are in."""
    if len(texts) == 1 and os.path.isdir(texts[0]):
        return Path(os.path.abspath(texts[0]))
    return Path(os.path.commonpath([os.path.abspath(source.path.parent) for source in sources]))
