"""Boxes for the cells of a map, as the tests of the adaptive convolution want them."""

from __future__ import annotations

import torch


def cell_centers(height: int, width: int, stride: float, o: float = 0.0) -> torch.Tensor:
    """(H*W, 2) x, y in pixels, row-major."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return (torch.stack([columns, rows], -1).reshape(-1, 2) + o) * stride


def anchors(images: int, height: int, width: int, stride: float, side: float, o: float = 0.0):
    """(N, H*W, 4) squares around the cells."""
    centers = cell_centers(height, width, stride, o)
    return torch.cat([centers - side / 2, centers + side / 2], -1).expand(images, -1, -1)


def random_boxes(images: int, height: int, width: int, stride: float, seed: int = 0):
    """(N, H*W, 4) boxes as a first stage yields them: jittered, log-normal around 4 cells."""
    generator = torch.Generator().manual_seed(seed)
    cells = height * width
    centers = cell_centers(height, width, stride)
    centers = centers + (torch.rand(images, cells, 2, generator=generator) - 0.5) * stride
    sides = 4 * stride * torch.exp(0.5 * torch.randn(images, cells, 2, generator=generator))
    return torch.cat([centers - sides / 2, centers + sides / 2], -1)
