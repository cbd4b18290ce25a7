"""The end of alternating training: an RPN and a Fast R-CNN of one backbone become one detector."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import Tensor

from ..files.atomic import write_atomically
from .categories import KEY
from .export import AUTHOR
from .tensor_file import read_tensor_file

_BACKBONE = "backbone."
_GENERATOR = "proposal_generator."


def join_rpn_and_fast_rcnn(
    rpn: str | os.PathLike[str],
    fast_rcnn: str | os.PathLike[str],
    target: str | os.PathLike[str],
) -> None:
    """Write the Faster R-CNN that two networks of one backbone make up (section 3.2).

    Args:
        rpn: checkpoint of the network of proposals.
        fast_rcnn: checkpoint of the detector without a proposal generator.
        target: the file to write, ending in ``.pth``; its folder must exist.

    Raises:
        OSError: if a file cannot be read or written.
        ValueError: if the two have different backbones, or are no such checkpoints; nothing is
            written.
    """
    proposer, detector = _content(rpn, _GENERATOR), _content(fast_rcnn, "roi_heads.")
    ours, theirs = (_part(content["model"], _BACKBONE) for content in (detector, proposer))
    differing = sorted(
        key
        for key in ours.keys() | theirs.keys()
        if key not in ours or key not in theirs or not torch.equal(ours[key], theirs[key])
    )
    if differing:
        raise ValueError(
            f"The backbones of {rpn} and {fast_rcnn} differ in {len(differing)} tensors, such as "
            f"'{differing[0]}', so that they are no one detector: remove the folders of both and "
            "give the same command again."
        )
    state = {**ours, **_part(proposer["model"], _GENERATOR), **detector["model"]}
    content = {"model": state, "__author__": AUTHOR, "matching_heuristics": False}
    if KEY in detector:
        content[KEY] = detector[KEY]
    write_atomically(target, lambda file: torch.save(content, file))


def _content(file: str | os.PathLike[str], prefix: str) -> dict[str, Any]:
    content = read_tensor_file(os.fspath(file)).content
    state = content.get("model") if isinstance(content, dict) else None
    if not isinstance(state, dict) or not _part(state, prefix):
        raise ValueError(f"{file} has no weights '{prefix}*': give the checkpoint of such a run.")
    assert isinstance(content, dict)
    return content


def _part(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key: value for key, value in state.items() if key.startswith(prefix)}
