"""Files of precomputed proposals: what another detector is trained and tested on.

The format is a numpy ``.npz`` archive without pickled objects:

* ``boxes`` (M, 4) float32, XYXY in pixels of the original image
* ``objectness_logits`` (M,) float32, descending within an image
* ``offsets`` (I + 1,) int64, image i has the rows ``offsets[i]`` to before ``offsets[i + 1]``
* ``ids`` (I,) int64 or texts, the dataset's image ids
* ``file_names`` (I,) texts without folders, or (0,): images of other data may have the same ids
* ``metadata``, json: ``format``, ``version``, and what the writer adds

Shape shorthand: I images, M proposals of all images together.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..files.atomic import write_atomically
from .proposal_archive import (
    Index,
    ProposalFileError,
    counts_to_offsets,
    read_index,
    read_rows,
    write_archive,
)
from .proposal_pickle import is_pickle, read_proposal_pickle, write_pickle
from .proposals import ProposalFile

PathLike = str | os.PathLike[str]

__all__ = [
    "ProposalFile",
    "ProposalFileError",
    "check_suffix",
    "join_proposals",
    "read_proposal_index",
    "read_proposals",
    "require_proposal_file",
    "write_proposals",
]


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
            file, proposals.index, [proposals.boxes], [proposals.objectness_logits]
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
    indices = [read_index(Path(part)) for part in parts]
    ids: list[Any] = [image_id for index in indices for image_id in index.ids]
    names = [name for index in indices for name in index.file_names]
    counts = [np.empty(0, np.int64), *(np.diff(index.offsets) for index in indices)]
    if as_pickle:
        images = [image for part in parts for image in read_proposals(part).images()]
        boxes, logits = [box for box, _ in images], [logit for _, logit in images]
        write_atomically(path, lambda file: write_pickle(file, ids, boxes, logits))
        return
    index = Index(ids, names, counts_to_offsets(np.concatenate(counts)), dict(metadata))
    write_atomically(
        path,
        lambda file: write_archive(
            file,
            index,
            (read_proposals(part).boxes for part in parts),
            (read_proposals(part).objectness_logits for part in parts),
        ),
    )


def read_proposals(path: PathLike, *, topk: int | None = None) -> ProposalFile:
    """Read and check a file of proposals.

    Args:
        path: an archive that :func:`write_proposals` wrote, or Detectron2's pickle.
        topk: how many proposals of an image to read, the best; None for all.

    Raises:
        FileNotFoundError: if there is no such file.
        ProposalFileError: if it is no such file, damaged, of another version, or holds values that
            cannot be used.
        OSError: if it cannot be read.
    """
    file = require_proposal_file(path)
    if is_pickle(file):
        ids, box_lists, logit_lists = read_proposal_pickle(file)
        try:
            return ProposalFile.from_images(ids, box_lists, logit_lists, topk=topk)
        except ProposalFileError as error:
            raise ProposalFileError(f"{file} cannot be used: {error}") from error
    index = read_index(file)
    boxes, logits, offsets = read_rows(file, index.offsets, topk)
    found = ProposalFile(index.ids, boxes, logits, offsets, index.metadata, index.file_names)
    found.check(str(file))
    return found


def read_proposal_index(path: PathLike) -> Index:
    """Which images a file has proposals of; cheap, but for a pickle.

    Raises:
        ProposalFileError, OSError: as :func:`read_proposals`.
    """
    file = require_proposal_file(path)
    if is_pickle(file):
        return read_proposals(file, topk=0).index
    return read_index(file)


def require_proposal_file(path: PathLike) -> Path:
    """The path of a file that is there.

    Raises:
        FileNotFoundError: if it is not there; says how to make it.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise FileNotFoundError(
            f"There is no file of proposals at {file}: write it with `cascade-rpn dump-proposals "
            f"--config-file <config of the proposals> --data <dataset> --output {file}`."
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
