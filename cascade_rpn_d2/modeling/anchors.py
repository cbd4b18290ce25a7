"""The anchors of a feature pyramid, made without waiting for the device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def pyramid_anchors(generator: nn.Module, maps: Sequence[Tensor]) -> Tensor:
    """All anchors (R, 4) XYXY in pixels that a ``generator`` of Detectron2 has for ``maps``.

    Detectron2 counts the cells of every level on the CPU and copies the numbers, and each copy
    makes the host wait for a GPU. Where torch is told the device, they are counted there.

    Args:
        generator: such as ``DefaultAnchorGenerator``.
        maps: (N, C, Hi, Wi), one a level.
    """
    with maps[0].device:
        levels = generator(list(maps))
    return torch.cat([boxes.tensor for boxes in levels])
