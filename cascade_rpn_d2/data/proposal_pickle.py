"""Detectron2's own file of proposals, a pickle: for its tools, and read without running it."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from detectron2.structures import BoxMode

from ..files.pickles import read_pickle
from ..files.untrusted import shown
from .proposal_archive import Ids, ProposalFileError

# Names that files of its predecessor have, which Detectron2 reads too.
_OLD_NAMES = {"ids": "indexes", "objectness_logits": "scores"}
_MODES = (BoxMode.XYXY_ABS.value, BoxMode.XYWH_ABS.value)


def is_pickle(path: Path) -> bool:
    """Whether a file looks like a pickle, by its name or its first byte."""
    if path.suffix in (".pkl", ".pickle"):
        return True
    with open(path, "rb") as file:
        return file.read(1) == b"\x80"


def write_pickle(
    file: IO[bytes], ids: Ids, boxes: Sequence[np.ndarray], logits: Sequence[np.ndarray]
) -> None:
    """Write what ``get_detection_dataset_dicts(names, proposal_files=[...])`` reads.

    Args:
        file: binary, open for writing.
        ids: of the images.
        boxes: of each image (n, 4), XYXY in pixels.
        logits: of each image (n,).
    """
    content = {
        "boxes": [np.asarray(b, np.float32) for b in boxes],
        "objectness_logits": [np.asarray(score, np.float32) for score in logits],
        "ids": list(ids),
        "bbox_mode": BoxMode.XYXY_ABS.value,
    }
    pickle.dump(content, file, protocol=4)


def read_proposal_pickle(path: Path) -> tuple[list[Any], list[np.ndarray], list[np.ndarray]]:
    """Read what :func:`write_pickle` or Detectron2's ``COCOEvaluator`` wrote.

    Returns:
        Ids of the images, boxes of each (n, 4) XYXY float32, logits of each (n,) float32.

    Raises:
        ProposalFileError: if it is no such file, or holds anything but arrays and plain values;
            names it.
        OSError: if it cannot be read.
    """
    try:
        content = read_pickle(path)
    except ValueError as error:
        raise ProposalFileError(str(error)) from error
    parts = {}
    for name in ("ids", "boxes", "objectness_logits"):
        found = content.get(name) if isinstance(content, dict) else None
        if found is None and isinstance(content, dict):
            found = content.get(_OLD_NAMES.get(name, name))
        if not isinstance(found, list | tuple | np.ndarray) or getattr(found, "ndim", 1) == 0:
            raise ProposalFileError(
                f"{path} is no file of proposals, it has no '{name}': give one that Detectron2 "
                "or `cascade-rpn dump-proposals` wrote."
            )
        parts[name] = list(found)
    sizes = {name: len(part) for name, part in parts.items()}
    if len(set(sizes.values())) > 1:
        raise ProposalFileError(f"{path} does not add up, it has {sizes}: write it again.")
    mode = content.get("bbox_mode", BoxMode.XYXY_ABS.value)
    if not isinstance(mode, int) or mode not in _MODES:
        raise ProposalFileError(
            f"{path} has boxes of mode {shown(mode)}, which is none of x1, y1, x2, y2 (0) or x, y, "
            "width, height (1): write it again in one of these."
        )
    room = path.stat().st_size  # in which arrays of many images may be one and the same
    boxes, logits = [], []
    for image, box, score in zip(*parts.values(), strict=True):
        try:
            box, score = np.asarray(box, np.float32), np.asarray(score, np.float32)
        except (TypeError, ValueError):  # of something else, or of several lengths
            box, score = np.empty(1), np.empty(0)
        room -= score.nbytes
        if box.size != 4 * score.size or room < 0:
            raise ProposalFileError(
                f"{path} does not add up, image {shown(image)} has boxes {box.shape} and "
                f"objectness_logits {score.shape}: write it again."
            )
        boxes.append(BoxMode.convert(box.reshape(-1, 4), BoxMode(mode), BoxMode.XYXY_ABS))
        logits.append(score.reshape(-1))
    return [i.item() if isinstance(i, np.generic) else i for i in parts["ids"]], boxes, logits
