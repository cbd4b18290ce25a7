"""Checkpoints of other frameworks, read without running anything that is in them.

mmdet writes ``{"meta": ..., "state_dict": ..., "optimizer": ...}`` with :func:`torch.save`, CPM
R-CNN's code ``{"model": ..., "optimizer": ..., "scheduler": ...}``. mmdet's ``meta`` (and the
``message_hub`` of 3.x) may hold objects of NumPy, mmengine and others, which PyTorch refuses to
load safely. Only tensors and a text are of use here, so such objects are left aside, see
:mod:`.tensor_file`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from .cpm_names import is_cpm
from .state_dict import require_tensors
from .tensor_file import read_tensor_file


@dataclass(frozen=True)
class ForeignFile:
    """What is of use in a checkpoint of another framework.

    Args:
        state: names and values of its tensors, without ``module.`` in front of the names.
        config_text: the config that the model was trained with, as text; empty if the file does
            not say.
        left_out: full names of the classes whose objects are left aside.
    """

    state: dict[str, Tensor]
    config_text: str = ""
    left_out: tuple[str, ...] = ()


def read_foreign_file(path: str | os.PathLike[str]) -> ForeignFile:
    """Read a checkpoint of mmdet 1.x to 3.x, of the authors of Cascade RPN, Grid R-CNN Plus or CPM
    R-CNN, or a bare state dict.

    Files in the format of PyTorch before 1.6 are read too.

    Args:
        path: the file.

    Raises:
        OSError: if there is no such file or it cannot be read.
        ValueError: if it is damaged, holds what cannot be read safely, or holds no state dict.
    """
    source = Path(path)
    if not source.is_file():
        raise FileNotFoundError(f"There is no checkpoint at {source}.")
    file = read_tensor_file(source)
    content = file.content
    meta: Any = None
    state: Any = content
    if isinstance(content, Mapping) and isinstance(content.get("model"), Mapping):
        state = content["model"]
        if not is_cpm(map(str, state)):
            raise ValueError(
                f"{source} is in Detectron2's format already, its weights being under 'model': "
                "use it as it is."
            )
    elif isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        state, meta = content["state_dict"], content.get("meta")
    if not isinstance(state, Mapping) or not state:
        raise ValueError(
            f"{source} holds no weights, neither under 'state_dict' nor at its top: give a "
            "checkpoint of a detector."
        )
    state = dict(state)
    require_tensors(str(source), state)
    return ForeignFile(without_wrapper(state), _config_text(meta), file.left_out)


def without_wrapper(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of a model that was saved inside ``DataParallel``, without ``module.``."""
    prefix = "module."
    return {key.removeprefix(prefix): value for key, value in state.items()}


def _config_text(meta: object) -> str:
    # mmdet 1.x and 2.x call it "config", 3.x "cfg".
    if isinstance(meta, Mapping):
        for key in ("config", "cfg"):
            if isinstance(meta.get(key), str):
                return meta[key]
    return ""
