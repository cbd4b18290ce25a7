"""From first and last pixels to edges and back."""

from __future__ import annotations

import torch
from torch import Tensor


def edges_of(boxes: Tensor) -> Tensor:
    """The edges (..., 4) of boxes (..., 4) that name their first and last pixel."""
    return torch.cat((boxes[..., :2], boxes[..., 2:] + 1), dim=-1)


def pixels_of(boxes: Tensor) -> Tensor:
    """The first and last pixel (..., 4) of boxes (..., 4) that are given by their edges."""
    return torch.cat((boxes[..., :2], boxes[..., 2:] - 1), dim=-1)
