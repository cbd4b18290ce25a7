"""Files of precomputed proposals: what another detector is trained and tested on.

The format is a numpy ``.npz`` archive without pickled objects:

* ``boxes`` (M, 4) float32, XYXY in pixels of the original image
* ``objectness_logits`` (M,) float32, descending within an image
* ``offsets`` (I + 1,) int64, image i has the rows ``offsets[i]`` to before ``offsets[i + 1]``
* ``ids`` (I,) int64 or texts, the dataset's image ids
* ``metadata``, json: ``format``, ``version``, and what the writer adds

Shape shorthand: I images, M proposals of all images together.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..checkpoint import write_atomically
from .proposal_archive import (
    Ids,
    ProposalFileError,
    counts_to_offsets,
    ids_to_array,
    read_index,
    read_rows,
    write_archive,
)
from .proposal_pickle import is_pickle, read_pickle, write_pickle

PathLike = str | os.PathLike[str]

__all__ = [
    "ProposalFile",
    "ProposalFileError",
    "check_suffix",
    "join_proposals",
    "read_image_ids",
    "read_proposals",
    "require_proposal_file",
    "write_proposals",
]


@dataclass(frozen=True, eq=False)
class ProposalFile:
    """The proposals of a dataset, best first in every image.

    Attributes:
        ids: I image ids, as in the dataset.
        boxes: (M, 4) float32 XYXY in pixels of the original image.
        objectness_logits: (M,) float32.
        offsets: (I + 1,) int64, image i has the rows ``offsets[i]`` to before ``offsets[i + 1]``.
        metadata: where they come from.
    """

    ids: Ids
    boxes: np.ndarray
    objectness_logits: np.ndarray
    offsets: np.ndarray
    metadata: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_images(
        cls,
        ids: Ids,
        boxes: Sequence[np.ndarray],
        objectness_logits: Sequence[np.ndarray],
        metadata: Mapping[str, Any] | None = None,
        *,
        topk: int | None = None,
    ) -> ProposalFile:
        """Put the proposals of single images together, each image's in order of objectness.

        Args:
            ids: of I images.
            boxes: of each image (n, 4), XYXY in pixels of the original image.
            objectness_logits: of each image (n,).
            metadata: what json can hold.
            topk: how many of an image are kept; None for all.

        Raises:
            ProposalFileError: if the numbers of images or boxes differ, or if something is not
                finite.
        """
        if not len(ids) == len(boxes) == len(objectness_logits):
            raise ProposalFileError(
                f"{len(ids)} image ids, {len(boxes)} sets of boxes and {len(objectness_logits)} of "
                "objectness_logits were given: give one of each for every image."
            )
        rows, scores = [np.empty((0, 4), np.float32)], [np.empty(0, np.float32)]
        for image, box, logit in zip(ids, boxes, objectness_logits, strict=True):
            if box.shape != (len(logit), 4) or logit.ndim != 1:
                raise ProposalFileError(
                    f"image {image!r} has boxes {box.shape} and objectness_logits {logit.shape}: "
                    "give (n, 4) and (n,)."
                )
            order = np.argsort(-logit, kind="stable")[:topk]
            rows.append(np.asarray(box[order], np.float32))
            scores.append(np.asarray(logit[order], np.float32))
        offsets = counts_to_offsets([len(score) for score in scores[1:]])
        found = cls(
            ids, np.concatenate(rows), np.concatenate(scores), offsets, {**(metadata or {})}
        )
        found.check("given proposals")
        return found

    def __len__(self) -> int:
        """Number of images."""
        return len(self.ids)

    def __contains__(self, image_id: int | str) -> bool:
        return str(image_id) in self._position

    def of(self, image_id: int | str) -> tuple[np.ndarray, np.ndarray]:
        """Boxes (n, 4) and logits (n,) of an image, best first.

        Args:
            image_id: a number and its digits are the same id, as for Detectron2.

        Raises:
            KeyError: if there is no such image.
        """
        i = self._position[str(image_id)]
        rows = slice(int(self.offsets[i]), int(self.offsets[i + 1]))
        return self.boxes[rows], self.objectness_logits[rows]

    def images(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """What :meth:`of` gives for each image, in the order of ``ids``."""
        for image_id in self.ids:
            yield self.of(image_id)

    def check(self, name: str) -> None:
        """Check the values.

        Args:
            name: how to call the proposals in a message.

        Raises:
            ProposalFileError: if ids repeat, something is not finite, a box is turned inside out,
                or an image's proposals are not in order; names the image.
        """
        ids_to_array(self.ids)
        if len(self._position) < len(self.ids):
            raise ProposalFileError(f"{name}: an image id occurs twice, dump the proposals again.")
        boxes, logits = self.boxes, self.objectness_logits
        last = np.zeros(len(logits), bool)  # whether a row is the last one of its image
        last[self.offsets[1:][np.diff(self.offsets) > 0] - 1] = True
        ascending = np.zeros(len(logits), bool)
        ascending[:-1] = ~last[:-1] & (logits[1:] > logits[:-1])
        for flawed, what in (
            (~np.isfinite(boxes).all(axis=1), "boxes that are not finite"),
            (~np.isfinite(logits), "objectness_logits that are not finite"),
            ((boxes[:, 2:] < boxes[:, :2]).any(axis=1), "boxes that are not x1, y1, x2, y2"),
            (ascending, "proposals that are not in order of objectness"),
        ):
            if flawed.any():
                row = int(flawed.argmax())
                image = self.ids[int(np.searchsorted(self.offsets, row, side="right")) - 1]
                raise ProposalFileError(
                    f"{name}: image {image!r} has {what}, dump the proposals again."
                )

    @functools.cached_property
    def _position(self) -> dict[str, int]:
        return {str(image_id): i for i, image_id in enumerate(self.ids)}


def write_proposals(path: PathLike, proposals: ProposalFile, *, as_pickle: bool = False) -> None:
    """Write a file of proposals, all at once or not at all.

    Args:
        path: ends in ``.npz``, or in ``.pkl`` for a pickle. Its folder must exist.
        proposals: to write.
        as_pickle: write Detectron2's format instead, which keeps no metadata.

    Raises:
        ValueError: if the ending does not fit the format.
        OSError: if it cannot be written.
    """
    check_suffix(path, as_pickle=as_pickle)
    if as_pickle:
        images = list(proposals.images())
        boxes, logits = [box for box, _ in images], [logit for _, logit in images]
        write_atomically(path, lambda file: write_pickle(file, proposals.ids, boxes, logits))
        return
    write_atomically(
        path,
        lambda file: write_archive(
            file,
            proposals.ids,
            proposals.offsets,
            [proposals.boxes],
            [proposals.objectness_logits],
            proposals.metadata,
        ),
    )


def join_proposals(
    path: PathLike,
    parts: Sequence[PathLike],
    metadata: Mapping[str, Any],
    *,
    as_pickle: bool = False,
) -> None:
    """Write the images of several files into one, in order.

    But for a pickle, no more than one part is in memory at a time.

    Args:
        path: as of :func:`write_proposals`.
        parts: ``.npz`` files.
        metadata: of the new file.
        as_pickle: as of :func:`write_proposals`.

    Raises:
        ProposalFileError: if a part cannot be used.
        OSError: if a file cannot be read or written.
    """
    check_suffix(path, as_pickle=as_pickle)
    ids: list[Any] = []
    counts: list[np.ndarray] = []
    for part in parts:
        part_ids, offsets, _ = read_index(Path(part))
        ids += part_ids
        counts.append(np.diff(offsets))
    if as_pickle:
        images = [image for part in parts for image in read_proposals(part).images()]
        boxes, logits = [box for box, _ in images], [logit for _, logit in images]
        write_atomically(path, lambda file: write_pickle(file, ids, boxes, logits))
        return
    offsets = counts_to_offsets(np.concatenate([np.empty(0, np.int64), *counts]))
    write_atomically(
        path,
        lambda file: write_archive(
            file,
            ids,
            offsets,
            (read_proposals(part).boxes for part in parts),
            (read_proposals(part).objectness_logits for part in parts),
            dict(metadata),
        ),
    )


def read_proposals(
    path: PathLike, *, topk: int | None = None, allow_pickle: bool = False
) -> ProposalFile:
    """Read and check a file of proposals.

    Args:
        path: an archive that :func:`write_proposals` wrote, or Detectron2's pickle.
        topk: how many proposals of an image to read, the best; None for all.
        allow_pickle: whether a pickle may be read, which runs whatever its author put into it.

    Raises:
        FileNotFoundError: if there is no such file.
        ProposalFileError: if it is no such file, damaged, of another version, or holds values that
            cannot be used; or if it is a pickle and these are not allowed.
        OSError: if it cannot be read.
    """
    file = require_proposal_file(path, allow_pickle=allow_pickle)
    if is_pickle(file):
        ids, box_lists, logit_lists = read_pickle(file)
        try:
            return ProposalFile.from_images(ids, box_lists, logit_lists, topk=topk)
        except ProposalFileError as error:
            raise ProposalFileError(f"{file} cannot be used: {error}") from error
    ids, offsets, metadata = read_index(file)
    boxes, logits, offsets = read_rows(file, offsets, topk)
    found = ProposalFile(ids, boxes, logits, offsets, metadata)
    found.check(str(file))
    return found


def read_image_ids(path: PathLike, *, allow_pickle: bool = False) -> Sequence[int] | Sequence[str]:
    """Ids of the images that a file has proposals of; cheap, but for a pickle.

    Raises:
        As :func:`read_proposals`.
    """
    file = require_proposal_file(path, allow_pickle=allow_pickle)
    return read_pickle(file)[0] if is_pickle(file) else read_index(file)[0]


def require_proposal_file(path: PathLike, *, allow_pickle: bool = False) -> Path:
    """The path of a file that is there and may be read.

    Raises:
        FileNotFoundError: if it is not there; says how to make it.
        ProposalFileError: if it is a pickle and these are not allowed.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise FileNotFoundError(
            f"There is no file of proposals at {file}: write it with tools/dump_proposals.py "
            f"--config-file <config of the proposals> --dataset <dataset> --output {file}."
        )
    if not allow_pickle and is_pickle(file):
        raise ProposalFileError(
            f"{file} is a pickle, and reading one runs whatever its author put into it: set "
            "allow_pickle=True (dataloader.*.dataset.allow_pickle=true) if you trust the file, or "
            "write an .npz with tools/dump_proposals.py."
        )
    return file


def check_suffix(path: PathLike, *, as_pickle: bool) -> None:
    """Check that the ending of a file that is to be written fits its format.

    Raises:
        ValueError: names both.
    """
    suffix = Path(path).suffix
    if suffix != (".pkl" if as_pickle else ".npz"):
        wanted = "Detectron2's format is a pickle" if as_pickle else "The format of this package"
        other = "" if as_pickle else ", or ask for Detectron2's format to get a pickle"
        raise ValueError(
            f"{wanted} is not written to {path}: give a name that ends in "
            f"{'.pkl' if as_pickle else '.npz'}{other}."
        )
