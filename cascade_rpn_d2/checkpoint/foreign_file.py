"""Checkpoints of other frameworks, read without running anything that is in them.

mmdet writes ``{"meta": ..., "state_dict": ..., "optimizer": ...}`` with :func:`torch.save`, CPM
R-CNN's code ``{"model": ..., "optimizer": ..., "scheduler": ...}``. mmdet's ``meta`` (and the
``message_hub`` of 3.x) may hold objects of NumPy, mmengine and others, which PyTorch refuses to
load safely. Only tensors and a text are of use here, so such an object is read as an
:class:`_Inert` one: its class is neither imported nor called. (A dict or list of a class of its
own, if it is not empty, cannot be; such files are refused.)
"""

from __future__ import annotations

import os
import pickle
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .cpm_names import is_cpm
from .reasons import why_not_loaded

# As torch.serialization.safe_globals takes them: what to call, and for which name in the file.
_Allowed = Callable[..., Any] | tuple[Callable[..., Any], str]

_FORBIDDEN = re.compile(r"GLOBAL ([\w.]+)")


@dataclass(frozen=True)
class ForeignFile:
    """What is of use in a checkpoint of another framework.

    Args:
        state: names and values of its tensors, without ``module.`` in front of the names.
        config_text: the config that the model was trained with, as text; empty if the file does
            not say.
    """

    state: dict[str, Tensor]
    config_text: str = ""


class _Inert:
    """In the place of an object of a class unknown to PyTorch: keeps nothing, does nothing."""

    def __new__(cls, *args: object, **kwargs: object) -> _Inert:
        return super().__new__(cls)

    def __init__(self, *args: object, **kwargs: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


def read_foreign_file(path: str | os.PathLike[str]) -> ForeignFile:
    """Read a checkpoint of mmdet 1.x to 3.x, of the authors of Cascade RPN, Grid R-CNN Plus or CPM
    R-CNN, or a bare state dict.

    Files in the format of PyTorch before 1.6 are read too, but if one of them has objects besides
    tensors and plain values, it is refused.

    Args:
        path: the file.

    Raises:
        OSError: if there is no such file or it cannot be read.
        ValueError: if it is damaged, holds what cannot be read safely, or holds no state dict.
    """
    source = Path(path)
    if not source.is_file():
        raise FileNotFoundError(f"There is no checkpoint at {source}.")
    content = _load(source)
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
    for key, value in state.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise ValueError(
                f"{source} has '{key}' among its weights, which is no tensor: give a checkpoint "
                "of a detector."
            )
    return ForeignFile(without_wrapper(state), _config_text(meta))


def without_wrapper(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of a model that was saved inside ``DataParallel``, without ``module.``."""
    prefix = "module."
    return {key.removeprefix(prefix): value for key, value in state.items()}


def _load(source: Path) -> Any:
    unknown: list[_Allowed] = [(_Inert, name) for name in _unknown_classes(source)]
    try:
        # PyTorch's own safe loading; a name in the list is looked up here and nowhere else.
        with torch.serialization.safe_globals(unknown):
            return torch.load(source, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # a damaged pickle can raise anything
        forbidden = _FORBIDDEN.search(str(error))
        if forbidden or "Can only" in str(error):
            what = (
                f"an object of {forbidden[1]}" if forbidden else "a collection of another library"
            )
            raise ValueError(
                f"{source} holds {what}, which cannot be read safely: open "
                "the file where it was made and save its 'state_dict' alone."
            ) from error
        raise ValueError(
            f"{source} is damaged or no checkpoint of PyTorch ({why_not_loaded(error)}): give "
            "another, or download it again."
        ) from error


def _unknown_classes(source: Path) -> list[str]:
    """Names of what the file refers to and PyTorch does not load by itself."""
    try:
        return torch.serialization.get_unsafe_globals_in_checkpoint(str(source))
    except (ValueError, RuntimeError, EOFError, pickle.UnpicklingError):
        # Of the format before PyTorch 1.6, or damaged, of which loading will say more.
        return []


def _config_text(meta: object) -> str:
    # mmdet 1.x and 2.x call it "config", 3.x "cfg".
    if isinstance(meta, Mapping):
        for key in ("config", "cfg"):
            if isinstance(meta.get(key), str):
                return meta[key]
    return ""
