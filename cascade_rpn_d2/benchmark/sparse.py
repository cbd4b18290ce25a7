"""The adaptive convolution of a few cells only, against that of all."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from .. import layers
from .case import Case
from .op import LevelInputs, adaptive, forward_part, level_inputs, pair_rows
from .row import Row
from .timing import Budget

# Shares of the cells that are active.
SHARES = (0.01, 0.05, 0.3, 1.0)


def sparse_rows(case: Case, budget: Budget, channels: int = 256) -> Iterator[Row]:
    """Times the forward with a mask of active cells against the forward of all cells.

    Yields:
        For every share the row of the pyramid and then one a level.
    """
    levels = level_inputs(case, channels)
    for share in SHARES:
        generator = torch.Generator().manual_seed(0)
        parts = [
            forward_part(Masked(random_mask(level, share, generator)), level) for level in levels
        ]
        dense = [forward_part(adaptive, level) for level in levels]
        yield from pair_rows(quantity_of(share), case, budget, levels, parts, dense, active=share)


def quantity_of(share: float) -> str:
    """The name of what is measured at a share of active cells from 0 to 1."""
    return f"forward, {share:.0%} of the cells active / forward, all cells"


class Masked:
    """Our operator on the active cells only.

    Args:
        mask: (N, Hi, Wi) bool.
    """

    def __init__(self, mask: Tensor):
        self.mask = mask

    def __call__(self, level: LevelInputs) -> Tensor:
        return layers.adaptive_conv2d(
            level.x, level.boxes, level.weight, stride=level.grid.stride, mask=self.mask
        )


def random_mask(level: LevelInputs, share: float, generator: torch.Generator) -> Tensor:
    """A mask (N, Hi, Wi), true for a ``share`` of the cells of a level, and for one at least."""
    order = torch.randperm(level.cells, generator=generator)
    active = order < max(1, round(share * level.cells))
    grid = level.grid
    return active.reshape(len(level.x), grid.height, grid.width).to(level.x.device)
