"""Random maps and boxes in the shapes of a feature pyramid.

Shape shorthand: ``N`` images, ``C`` channels, ``Hi, Wi`` cells of level i.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..modeling import Grid
from .case import Case

# Of the levels of an FPN, in pixels a cell.
STRIDES = (4, 8, 16, 32, 64)
# Mean side of a box in cells: the anchors of RPN and Cascade RPN are eight strides wide.
BOX_CELLS = 8.0
# Standard deviation of the logarithm of a side.
BOX_SIGMA = 0.5


def pyramid(image_size: tuple[int, int], strides: Sequence[int] = STRIDES) -> list[Grid]:
    """The levels of an image of ``image_size`` (height, width) in pixels, finest first."""
    height, width = image_size
    return [Grid(-(-height // stride), -(-width // stride), stride) for stride in strides]


def random_maps(case: Case, channels: int, generator: torch.Generator) -> list[Tensor]:
    """A map (N, C, Hi, Wi) of standard normal numbers a level, in the case's layout and dtype."""
    return [
        to_case(
            torch.randn(case.batch, channels, grid.height, grid.width, generator=generator), case
        )
        for grid in pyramid(case.image_size)
    ]


def to_case(tensor: Tensor, case: Case) -> Tensor:
    """A tensor (N, C, H, W) on the device, and in the dtype and the layout, of a case."""
    return tensor.to(case.torch_device, case.torch_dtype).contiguous(
        memory_format=case.memory_format
    )


def random_boxes(kind: str, grid: Grid, images: int, generator: torch.Generator) -> Tensor:
    """A box for every cell of a level, its sides log-normal around eight cells.

    Args:
        kind: ``"trained"`` as a trained first stage yields them: the centre is moved from that of
            the cell by up to half a cell, evenly in either direction. ``"spread"``, the worst case
            for a memory: the centre is anywhere on the map.
        grid: the level.
        images: N.
        generator: of random numbers, on the CPU.

    Returns:
        (N, Hi*Wi, 4) XYXY in pixels, float32, on the CPU.

    Raises:
        ValueError: if there is no such kind.
    """
    if kind not in ("trained", "spread"):
        raise ValueError(f"There are no '{kind}' boxes: they are trained or spread.")
    uniform = torch.rand(images, grid.cells, 2, generator=generator)
    if kind == "trained":
        y, x = torch.meshgrid(torch.arange(grid.height), torch.arange(grid.width), indexing="ij")
        center = torch.stack((x, y), dim=-1).reshape(-1, 2) + (uniform - 0.5)
    else:
        center = uniform * torch.tensor([grid.width, grid.height])
    logs = BOX_SIGMA * torch.randn(images, grid.cells, 2, generator=generator)
    half = BOX_CELLS * logs.exp() / 2
    return torch.cat((center - half, center + half), dim=-1) * grid.stride


def sampling_offsets(boxes: Tensor, grid: Grid) -> Tensor:
    """What a 3x3 deformable convolution needs to sample where an adaptive one does.

    Args:
        boxes: (N, Hi*Wi, 4) XYXY in pixels.
        grid: the level.

    Returns:
        (N, 18, Hi, Wi) in cells: per tap, row by row, dy and then dx from where an ordinary
        convolution with a padding of 1 samples.
    """
    x1, y1, x2, y2 = (boxes / grid.stride).unflatten(1, (grid.height, grid.width)).unbind(-1)
    rows = torch.arange(grid.height, device=boxes.device)[:, None]
    columns = torch.arange(grid.width, device=boxes.device)
    offsets = []
    for ky in (-1, 0, 1):
        for kx in (-1, 0, 1):
            offsets.append((y1 + y2) / 2 + ky * (y2 - y1) / 2 - (rows + ky))
            offsets.append((x1 + x2) / 2 + kx * (x2 - x1) / 2 - (columns + kx))
    return torch.stack(offsets, dim=1)
