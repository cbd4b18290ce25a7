"""Anchors that name their first and last pixel, and are rounded to whole ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from detectron2.modeling.anchor_generator import BufferList, DefaultAnchorGenerator
from torch import Tensor

AnchorRounding = Literal["sides", "corners"]


class InclusiveAnchorGenerator(DefaultAnchorGenerator):
    """Anchors about the middle of the pixels ``0`` to ``stride - 1`` of a cell.

    Args:
        sizes: of every level, roots of the anchors' areas in pixels.
        aspect_ratios: height by width, of all levels.
        strides: of every level.
        rounding: what is rounded to whole pixels: ``"sides"``, those of an anchor as large as the
            cell, which is then enlarged (Detectron and CPM R-CNN), or ``"corners"``, those of the
            anchors themselves (mmdet before 2.0 and Grid R-CNN Plus).

    Raises:
        ValueError: if ``rounding`` is neither.
    """

    def __init__(
        self,
        *,
        sizes: Sequence[Sequence[float]],
        aspect_ratios: Sequence[float],
        strides: Sequence[int],
        rounding: AnchorRounding = "sides",
    ):
        if rounding not in get_args(AnchorRounding):
            raise ValueError(f"rounding is 'sides' or 'corners' of anchors, not {rounding!r}.")
        super().__init__(
            sizes=[tuple(x) for x in sizes],
            aspect_ratios=[tuple(aspect_ratios)],
            strides=tuple(strides),
            offset=0.0,
        )
        self.rounding = rounding
        self.cell_anchors = BufferList(
            [
                _cell_anchors(stride, tuple(of_level), tuple(aspect_ratios), rounding)
                for stride, of_level in zip(strides, sizes, strict=True)
            ]
        )


def _cell_anchors(
    stride: int, sizes: Sequence[float], ratios: Sequence[float], rounding: AnchorRounding
) -> Tensor:
    """Anchors (A, 4) of a cell, the first size in all ratios first."""
    ratio = torch.tensor(ratios, dtype=torch.float64)
    width = stride / ratio.sqrt()
    if rounding == "sides":
        width = width.round()
        height = (width * ratio).round()
    else:
        height = width * ratio
    scale = torch.tensor(sizes, dtype=torch.float64)[:, None] / stride
    # From the middle of the cell's pixels to those of the anchor's corners.
    reach = (torch.stack((scale * width, scale * height), dim=-1).flatten(0, 1) - 1) / 2
    middle = (stride - 1) / 2
    anchors = torch.cat((middle - reach, middle + reach), dim=-1)
    return (anchors.round() if rounding == "corners" else anchors).float()
