"""The weights of 2019 of the authors of Cascade RPN and of Grid R-CNN Plus, and mmdet 1.x's, whose
code theirs is built on -> ours.

Stages are ``rpn_head.0``, ``rpn_head.1``, ...; the box head is ``bbox_head``, or ``bbox_head.0`` to
``bbox_head.2`` for Cascade R-CNN. Class 0 is the background, which has the last place here.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor

from .grid_names import grid_names
from .mmdet_names import TRUNK, generator_names, roi_names

AUTHORS = (
    *TRUNK,
    *generator_names(r"rpn_head", stages=""),
    *roi_names(r"bbox_head"),
    *grid_names(r"grid_head"),
)

# Grid R-CNN Plus has a layer for deltas that no loss reaches and nothing reads.
UNUSED_DELTAS = {r"bbox_head\.fc_reg\.(weight|bias)": "deltas, which Grid R-CNN Plus does not use"}

_SCORES = re.compile(r"bbox_head\.(\d+\.)?fc_cls\.(weight|bias)")
_DELTAS = re.compile(r"bbox_head\.(\d+\.)?fc_reg\.(weight|bias)")


def background_last(key: str, value: Tensor) -> Tensor:
    """A weight with the background, class 0 of K + 1, at the place that Detectron2 has it.

    Args:
        key: the authors' name. Scores (``fc_cls``) get the background's row moved to the end.
            Deltas (``fc_reg``) that are of every class lose its four rows; those that are of no
            class in particular, 4 rows, stay as they are, like everything else. mmdet's script for
            the same conversion drops rows of the weights but not of the biases.
        value: (R, C) weights or (R,) biases.
    """
    if _SCORES.fullmatch(key):
        return background_to_the_end(value)
    if _DELTAS.fullmatch(key) and len(value) > 4:
        return value[4:]
    return value


def background_to_the_end(value: Tensor) -> Tensor:
    """Rows (K + 1, ...) with the first one, the background's, as the last."""
    return torch.cat((value[1:], value[:1]))
