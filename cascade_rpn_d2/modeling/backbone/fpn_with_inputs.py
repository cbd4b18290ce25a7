"""An FPN whose inputs can be read as well as its outputs, as RefineRPN does.

Shape shorthand: ``N`` images, ``C`` channels, ``Hi, Wi`` cells of level i.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import fvcore.nn.weight_init as weight_init
import torch.nn.functional as F
from detectron2.layers import ShapeSpec
from detectron2.modeling.backbone import FPN, Backbone
from torch import Tensor, nn


class FPNWithInputs(Backbone):
    """The maps before an FPN and those after it, in pairs of one size: ``c2`` to ``c6`` and ``p2``
    to ``p6``.

    The maps of the trunk differ in their channels, and a head that all levels share cannot read
    them as they are. So each goes through a 1x1 convolution of its own, which the FPN does not see.
    Where the FPN adds levels to those of the trunk, the map before it is the one of the level below
    with every other cell, as the FPN of the papers makes p6 of p5.

    Args:
        bottom_up: the trunk.
        in_features: names of its maps that the FPN reads, finest first.
        out_channels: C, of all maps.
        norm: of the FPN, see Detectron2's ``FPN``.
        top_block: adds levels to the FPN.
    """

    def __init__(
        self,
        bottom_up: Backbone,
        in_features: Sequence[str],
        out_channels: int,
        norm: str = "",
        top_block: nn.Module | None = None,
    ):
        super().__init__()
        shapes = bottom_up.output_shape()
        self.bottom_up = bottom_up
        self.fpn = FPN(_GivenMaps(shapes), in_features, out_channels, norm, top_block)
        self.in_features = tuple(in_features)
        self.projections = nn.ModuleList(
            nn.Conv2d(shapes[name].channels, out_channels, 1) for name in self.in_features
        )
        for projection in self.projections:
            weight_init.c2_xavier_fill(projection)

    @property
    def size_divisibility(self) -> int:
        """That of the FPN: images are padded to a multiple of it."""
        return self.fpn.size_divisibility

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Maps before and after the FPN for images (N, 3, H, W).

        Returns:
            Name -> (N, C, Hi, Wi).
        """
        maps = self.bottom_up(x)
        after = self.fpn(maps)
        before = [p(maps[f]) for p, f in zip(self.projections, self.in_features, strict=True)]
        while len(before) < len(after):
            before.append(F.max_pool2d(before[-1], kernel_size=1, stride=2))
        return dict(zip(map(_name_before, after), before, strict=True)) | after

    def output_shape(self) -> dict[str, ShapeSpec]:
        """Channels and strides by name."""
        after = self.fpn.output_shape()
        return {_name_before(name): shape for name, shape in after.items()} | after


class _GivenMaps(Backbone):
    """The trunk of an FPN to which the maps of the trunk are given in place of images."""

    def __init__(self, shapes: Mapping[str, ShapeSpec]):
        super().__init__()
        self.shapes = dict(shapes)

    def forward(self, maps: dict[str, Tensor]) -> dict[str, Tensor]:
        return maps

    def output_shape(self) -> dict[str, ShapeSpec]:
        return self.shapes


def _name_before(name: str) -> str:
    """``"c2"`` for the map before the FPN that ``"p2"`` is after it."""
    return f"c{name.removeprefix('p')}"
