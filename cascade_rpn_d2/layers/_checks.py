"""What both sampled convolutions ask of their arguments, each violation told in one sentence."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

_DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


def check_conv(input: Tensor, weight: Tensor, bias: Tensor | None) -> None:
    """Checks what an ordinary convolution would check.

    Raises:
        ValueError: for a wrong rank, an empty map, channels or a bias that do not fit.
        TypeError: for dtypes that are not floating point or not equal.
    """
    if input.dim() != 4 or 0 in input.shape[1:]:
        raise ValueError(
            "input must be a non-empty map of shape (N, C, H, W), where N alone may be 0; "
            f"got shape {tuple(input.shape)}."
        )
    if weight.dim() != 4 or 0 in weight.shape:
        raise ValueError(
            "weight must be a non-empty tensor of shape (O, C / groups, Kh, Kw); "
            f"got shape {tuple(weight.shape)}."
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(
            f"bias must have shape ({weight.shape[0]},), one value per output channel of the "
            f"weight {tuple(weight.shape)}; got shape {tuple(bias.shape)}."
        )
    if input.dtype not in _DTYPES:
        raise TypeError(
            f"input must be float32, float64, float16 or bfloat16; got {input.dtype} "
            f"of shape {tuple(input.shape)}."
        )
    for name, tensor in (("weight", weight), ("bias", bias)):
        if tensor is None:
            continue
        if tensor.dtype != input.dtype and not torch.is_autocast_enabled(input.device.type):
            raise TypeError(
                f"{name} must have the dtype of the input outside of autocast; got {name} "
                f"{tensor.dtype} {tuple(tensor.shape)} and input {input.dtype} "
                f"{tuple(input.shape)}."
            )
        check_device(name, tensor, input)


def check_device(name: str, tensor: Tensor, input: Tensor) -> None:
    """Raises ValueError unless ``tensor`` is on the device of ``input``."""
    if tensor.device != input.device:
        raise ValueError(
            f"{name} {tuple(tensor.shape)} must be on the device of the input "
            f"{tuple(input.shape)}; got {tensor.device} and {input.device}."
        )


def check_places(name: str, tensor: Tensor, input: Tensor) -> None:
    """Checks dtype and device of the boxes or offsets that say where to sample.

    Raises:
        TypeError: when they are not floating point.
        ValueError: when they are on another device.
    """
    if tensor.dtype not in _DTYPES:
        raise TypeError(
            f"{name} must be float32, float64, float16 or bfloat16; got {tensor.dtype} "
            f"of shape {tuple(tensor.shape)}."
        )
    check_device(name, tensor, input)


def check_mask(mask: Tensor | None, input: Tensor, cells: tuple[int, int, int]) -> None:
    """Checks which cells are to be evaluated; ``cells`` is (N, Ho, Wo).

    Raises:
        TypeError: when the mask is not bool.
        ValueError: when it is on another device or does not have one value per output cell.
    """
    if mask is None:
        return
    if mask.dtype != torch.bool:
        raise TypeError(f"mask must be bool; got {mask.dtype} of shape {tuple(mask.shape)}.")
    if tuple(mask.shape) != tuple(cells):
        raise ValueError(
            f"mask must have shape (N, Ho, Wo) = {tuple(cells)}, one value per cell of the output; "
            f"got shape {tuple(mask.shape)}."
        )
    check_device("mask", mask, input)


def check_stride(stride: float) -> None:
    """Raises ValueError unless ``stride`` is a positive, finite number."""
    if not (math.isfinite(stride) and stride > 0):
        raise ValueError(f"stride must be a positive number of pixels per cell; got {stride}.")


def pair(name: str, value: int | Iterable[int], least: int) -> tuple[int, int]:
    """An int or two ints as (y, x).

    Raises:
        ValueError: when there are not two, or one is below ``least``.
    """
    values = (value, value) if isinstance(value, int) else tuple(value)
    if len(values) != 2 or min(values) < least:
        raise ValueError(f"{name} must be one or two integers of at least {least}; got {value}.")
    return values[0], values[1]
