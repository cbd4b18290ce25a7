"""What the text of mmdet's config, which its checkpoints carry, says of the model's input.

Names and shapes of weights do not tell how pixels were normalised or where a ResNet has its
strides.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import nn

_NUMBER = r"\s*(\d+\.?\d*)\s*"
_NUMBERS = rf"\s*[=:]\s*[\[(]{_NUMBER},{_NUMBER},{_NUMBER},?\s*[\])]"
_MEAN = re.compile(r"\bmean['\"]?" + _NUMBERS)
_STD = re.compile(r"\bstd['\"]?" + _NUMBERS)
_STYLE = re.compile(r"\bstyle['\"]?\s*[=:]\s*['\"](caffe|pytorch)['\"]")
_STRIDE_IN_1X1 = {"caffe": True, "pytorch": False}

_T = TypeVar("_T")


@dataclass(frozen=True)
class StatedInput:
    """What a training config says; None where it says nothing, or different things.

    Args:
        pixel_mean: of the three channels, in the order that the model takes them.
        pixel_std: likewise.
        style: ``"caffe"``, strides in the 1x1 convolutions, or ``"pytorch"``, in the 3x3.
    """

    pixel_mean: tuple[float, ...] | None = None
    pixel_std: tuple[float, ...] | None = None
    style: str | None = None

    @classmethod
    def from_text(cls, text: str) -> StatedInput:
        """What the text of a config says."""
        return cls(_numbers(_MEAN, text), _numbers(_STD, text), _only(_STYLE.findall(text)))


def input_differences(stated: StatedInput, model: nn.Module) -> list[str]:
    """Where a model normalises pixels in another way than the weights were trained with.

    Args:
        stated: what the training config says.
        model: one of Detectron2, with ``pixel_mean`` and ``pixel_std``.

    Returns:
        A sentence for each difference.

    Raises:
        ValueError: if the strides of the backbone are elsewhere, which no detector survives.
    """
    theirs, ours = stated.style, _stride_in_1x1(model)
    if theirs is not None and ours is not None and _STRIDE_IN_1X1[theirs] != ours:
        raise ValueError(
            f"it was trained with a backbone of style '{theirs}': set stride_in_1x1="
            f"{_STRIDE_IN_1X1[theirs]} in the config's backbone and its pixel mean with it."
        )
    notes = []
    for name in ("pixel_mean", "pixel_std"):
        wanted, own = getattr(stated, name), getattr(model, name, None)
        if wanted is None or own is None:
            continue
        values = own.detach().cpu().flatten().float()
        if not torch.allclose(values, torch.tensor(wanted, dtype=torch.float32), atol=1e-3):
            notes.append(
                f"It was trained with {name} {_text(wanted)}; the config has "
                f"{_text(values.tolist())}."
            )
    return notes


def _numbers(pattern: re.Pattern[str], text: str) -> tuple[float, ...] | None:
    # mmdet 2.0 joins the texts of the files that a config is made of, the base first; the last
    # holds.
    found = pattern.findall(text)
    return tuple(float(n) for n in found[-1]) if found else None


def _only(found: Sequence[_T]) -> _T | None:
    return found[0] if found and all(value == found[0] for value in found) else None


def _stride_in_1x1(model: nn.Module) -> bool | None:
    bottom_up = getattr(getattr(model, "backbone", None), "bottom_up", None)
    blocks = getattr(bottom_up, "res3", None)
    if blocks is None or not hasattr(blocks[0], "conv3"):  # a basic block has no such choice
        return None
    return blocks[0].conv1.stride[0] > 1


def _text(numbers: Iterable[float]) -> str:
    return " ".join(f"{number:g}" for number in numbers)
