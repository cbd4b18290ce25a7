"""Detectron2's own file of proposals, a pickle: for its tools, and only on request.

Reading a pickle runs whatever program its author put into it.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from detectron2.structures import BoxMode

from .proposal_archive import Ids, ProposalFileError

# Names that files of its predecessor have, which Detectron2 reads too.
_OLD_NAMES = {"ids": "indexes", "objectness_logits": "scores"}


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


def read_pickle(path: Path) -> tuple[list[Any], list[np.ndarray], list[np.ndarray]]:
    """Read what :func:`write_pickle` or Detectron2's ``COCOEvaluator`` wrote. Trust the file!

    Returns:
        Ids of the images, boxes of each (n, 4) XYXY float32, logits of each (n,) float32.

    Raises:
        ProposalFileError: if it is no such file; names it.
        OSError: if it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            content = pickle.load(file, encoding="latin1")
    except OSError:
        raise
    except Exception as error:  # a damaged pickle can raise anything
        raise ProposalFileError(
            f"{path} is damaged or no pickle ({type(error).__name__}): copy or write it again."
        ) from error
    parts = {}
    for name in ("ids", "boxes", "objectness_logits"):
        found = content.get(name) if isinstance(content, dict) else None
        if found is None and isinstance(content, dict):
            found = content.get(_OLD_NAMES.get(name, name))
        if found is None:
            raise ProposalFileError(
                f"{path} is no file of proposals, it has no '{name}': give one that Detectron2 "
                "or `cascade-rpn dump-proposals` wrote."
            )
        parts[name] = list(found)
    sizes = {name: len(part) for name, part in parts.items()}
    if len(set(sizes.values())) > 1:
        raise ProposalFileError(f"{path} does not add up, it has {sizes}: write it again.")
    mode = BoxMode(content.get("bbox_mode", BoxMode.XYXY_ABS.value))
    boxes, logits = [], []
    for image, box, score in zip(*parts.values(), strict=True):
        box, score = np.asarray(box, np.float32), np.asarray(score, np.float32)
        if box.size != 4 * score.size:
            raise ProposalFileError(
                f"{path} does not add up, image {image!r} has boxes {box.shape} and "
                f"objectness_logits {score.shape}: write it again."
            )
        boxes.append(BoxMode.convert(box.reshape(-1, 4), mode, BoxMode.XYXY_ABS))
        logits.append(score.reshape(-1))
    return [i.item() if isinstance(i, np.generic) else i for i in parts["ids"]], boxes, logits
