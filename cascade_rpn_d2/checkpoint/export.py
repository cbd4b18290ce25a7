"""From a checkpoint of a training run to a file that is fit to be published.

A training checkpoint carries the optimizer and the state of the run. The published file holds the
weights alone, half as large, and opens with ``torch.load(..., weights_only=True)``, with
Detectron2's ``DetectionCheckpointer`` and with ours.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ..files.atomic import write_atomically
from ..files.digest import sha256_of
from ..files.folders import make_writable
from .tensor_file import read_tensor_file

AUTHOR = "cascade_rpn_d2"


def export_checkpoint(src: str | os.PathLike[str], dst: str | os.PathLike[str]) -> str:
    """Write the weights of a training checkpoint to a file of the zoo's form.

    That is ``{"model": state dict, "__author__": str}``.

    Args:
        src: a checkpoint whose ``"model"`` is a state dict, or a bare state dict.
        dst: the file to write, ending in ``.pth``; its folder is made if need be.

    Returns:
        The hexadecimal SHA-256 of ``dst``, for the zoo's table of checkpoints.

    Raises:
        OSError: if ``src`` does not exist or ``dst`` cannot be written.
        ValueError: if ``src`` cannot be read safely or holds no state dict, if a weight is not
            finite, or if ``dst`` does not end in ``.pth``.
    """
    source, target = Path(src), Path(dst)
    if target.suffix != ".pth":
        raise ValueError(f"A zoo checkpoint must be named *.pth to be loadable, not '{target}'.")
    state = compact_state(_state_dict(source))
    make_writable(target.parent, f"the folder of {target}", "give another path.")
    content = {"model": state, "__author__": AUTHOR}
    write_atomically(target, lambda file: torch.save(content, file))
    return sha256_of(target)


def compact_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict on the CPU with its weights in float16.

    Biases, norms and their statistics stay as they are: they are few, and a variance may be too
    small or too large for float16. So stay weights beyond its range.

    Raises:
        ValueError: if a value is not finite; names the key.
    """
    compact = {}
    for key, tensor in state.items():
        value = tensor.detach().cpu()
        if value.is_floating_point():
            if not value.isfinite().all():
                raise ValueError(
                    f"'{key}' has values that are not finite: export a checkpoint from "
                    "before the training diverged."
                )
            if value.ndim >= 2 and (value.abs() <= torch.finfo(torch.float16).max).all():
                value = value.half()
        # A copy that is contiguous, or the file would hold the whole storage behind a view.
        compact[key] = value.clone(memory_format=torch.contiguous_format)
    return compact


def _state_dict(source: Path) -> dict[str, Tensor]:
    if not source.is_file():
        raise FileNotFoundError(f"There is no checkpoint at {source}.")
    content = read_tensor_file(source).content
    state = content.get("model", content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not state:
        raise ValueError(f"{source} holds no state dict, neither under 'model' nor at its top.")
    if not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{source} has other things than tensors in its state dict.")
    return state
