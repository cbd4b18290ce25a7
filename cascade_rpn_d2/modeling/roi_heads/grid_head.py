"""One look at boxes through heat maps: the network of Grid R-CNN Plus.

Shape shorthand: ``R`` boxes, ``S`` grid points a side, ``P = S*S`` grid points, ``c`` channels a
point (64), ``h`` side of the trunk's maps (7), ``m = 4*h`` side of a heat map (28). Point
``p = column * S + row``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal, NamedTuple, cast, get_args

import torch
import torch.nn.functional as F
from detectron2.layers import ShapeSpec
from torch import Tensor, nn

GridInit = Literal["plus", "mmdet", "pytorch"]
Fan = Literal["fan_in", "fan_out"]

# Probability that a cell of a new heat map has, as in focal loss (all released heads with a prior).
PRIOR = 0.01


class GridPrediction(NamedTuple):
    """What a :class:`GridHead` sees in boxes.

    Attributes:
        logits: (R, P, m, m) heat maps before the sigmoid, those that boxes are read from.
        unfused_logits: (R, P, m, m) heat maps without the fusion of points, learnt beside the
            others; None at test, and in a head without fusion.
        features: (R, P*c, h, h) of the trunk.
    """

    logits: Tensor
    unfused_logits: Tensor | None
    features: Tensor


class _ConvNorm(nn.Module):
    """3x3 convolution, group norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int, groups: int):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1)
        self.norm = nn.GroupNorm(groups, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(x)), inplace=True)

    def initialize(self, mode: Fan) -> None:
        _kaiming(self.conv, mode)


class PointFusion(nn.Module):
    """What every point learns from its neighbours (Grid R-CNN, section 3.2).

    Along each of the ``4 S (S - 1)`` directed edges of the grid a 5x5 depthwise and a 1x1
    convolution transform the features of a point for its neighbour, who adds them up. The
    convolutions of all edges are one with groups. They are ordered by the side from which they
    come: from the left, from above, from below, from the right; of a side by the neighbour that
    receives, column by column.

    Args:
        grid_size: S.
        point_channels: c.
    """

    def __init__(self, grid_size: int, point_channels: int):
        super().__init__()
        self.grid_size = grid_size
        edges = 4 * grid_size * (grid_size - 1)
        width = edges * point_channels
        self.depthwise = nn.Conv2d(width, width, 5, padding=2, groups=width)
        self.pointwise = nn.Conv2d(width, width, 1, groups=edges)

    def forward(self, own: Tensor, neighbors: Tensor) -> Tensor:
        """Add what comes from ``neighbors`` (R, P*c, h, h) to ``own`` (R, P*c, h, h)."""
        size = self.grid_size
        # (R, P*c, h, h) -> (R, S columns, S rows, c, h, h)
        grid = neighbors.unflatten(1, (size, size, -1))
        sides = (grid[:, :-1], grid[:, :, :-1], grid[:, :, 1:], grid[:, 1:])
        sent = torch.cat([side.flatten(1, 3) for side in sides], dim=1)
        sent = self.pointwise(self.depthwise(sent))
        left, above, below, right = sent.chunk(4, dim=1)
        result = own.unflatten(1, (size, size, -1)).clone()
        result[:, 1:] += left.unflatten(1, (size - 1, size, -1))
        result[:, :, 1:] += above.unflatten(1, (size, size - 1, -1))
        result[:, :, :-1] += below.unflatten(1, (size, size - 1, -1))
        result[:, :-1] += right.unflatten(1, (size - 1, size, -1))
        return result.flatten(1, 3)

    def initialize(self, mode: Fan) -> None:
        """Kaiming's initialisation, the fans counted for the convolutions of an edge by itself."""
        for conv in (self.depthwise, self.pointwise):
            _kaiming(conv, mode, parts=self.pointwise.groups)


class GridHead(nn.Module):
    """Heat maps of the grid points of boxes (Grid R-CNN Plus; Grid R-CNN, section 3).

    Convolutions, the first of stride 2, with group norm; with ``fusion`` two rounds in which points
    learn from their neighbours and from their neighbours' neighbours; two deconvolutions with a
    group for every point. Both maps, with and without fusion, are trained; the fused one is used.
    CPM R-CNN's published models have no fusion, of which the paper says nothing.

    Args:
        input_shape: channels, height and width of the pooled features; a square of an even side.
        grid_size: S; 3 in all published models.
        num_convs: convolutions of the trunk.
        point_channels: c.
        fusion: whether points learn from each other.
        norm_groups: groups of the trunk's norms; None means 4 for every point, 36 for 9 points.
        init: how layers start. ``"plus"`` is Kaiming's with the number of inputs (``fan_in``), and
            heat maps that start at a probability of 0.01; ``"mmdet"`` is the same with the number
            of outputs (``fan_out``); ``"pytorch"`` leaves torch's defaults, as CPM R-CNN's released
            code does.

    Raises:
        ValueError: if the features are not such a square, a norm's groups do not divide its
            channels, or ``init`` is unknown.
    """

    def __init__(
        self,
        input_shape: ShapeSpec,
        *,
        grid_size: int = 3,
        num_convs: int = 8,
        point_channels: int = 64,
        fusion: bool = True,
        norm_groups: int | None = None,
        init: GridInit = "plus",
    ):
        super().__init__()
        side = input_shape.height
        if side is None or side != input_shape.width or side % 2:
            raise ValueError(
                "A grid head takes a square of features with an even side, not "
                f"{input_shape.height} x {input_shape.width}."
            )
        if grid_size < 2 or num_convs < 1 or point_channels < 1:
            raise ValueError(
                "A grid head has at least 2 x 2 points, a convolution and a channel a point, not "
                f"grid_size={grid_size}, num_convs={num_convs}, point_channels={point_channels}."
            )
        if init not in get_args(GridInit):
            raise ValueError(f"init is 'plus', 'mmdet' or 'pytorch', not {init!r}.")
        points = grid_size**2
        width = points * point_channels
        groups = 4 * points if norm_groups is None else norm_groups
        if width % groups:
            raise ValueError(
                f"{groups} groups of a norm do not divide {width} channels: {points} points of "
                f"{point_channels}. Choose point_channels or norm_groups so that they do."
            )
        self.grid_size = grid_size
        self.point_channels = point_channels
        self.map_size = 2 * side
        self.convs = nn.Sequential()
        for index in range(num_convs):
            inputs, stride = (width, 1) if index else (input_shape.channels, 2)
            self.convs.append(_ConvNorm(inputs, width, stride, groups))
        self.fuse1 = PointFusion(grid_size, point_channels) if fusion else None
        self.fuse2 = PointFusion(grid_size, point_channels) if fusion else None
        self.deconv1 = nn.ConvTranspose2d(width, width, 4, stride=2, padding=1, groups=points)
        self.norm1 = nn.GroupNorm(points, width)
        self.deconv2 = nn.ConvTranspose2d(width, points, 4, stride=2, padding=1, groups=points)
        self._initialize(init)

    @property
    def output_shape(self) -> ShapeSpec:
        """Of the trunk's features."""
        side = self.map_size // 4
        return ShapeSpec(channels=self.deconv1.in_channels, height=side, width=side)

    def forward(self, pooled: Tensor) -> GridPrediction:
        """Pooled features (R, C, 2h, 2h) -> heat maps and features of R boxes; R may be 0."""
        features = self.convs(pooled)
        if self.fuse1 is None or self.fuse2 is None:
            return GridPrediction(self._heat_maps(features), None, features)
        # The second round adds to the features themselves again, not to those of the first round.
        fused = self.fuse2(features, self.fuse1(features, features))
        if not self.training:
            return GridPrediction(self._heat_maps(fused), None, features)
        logits, unfused = self._heat_maps(torch.cat((fused, features))).chunk(2)
        return GridPrediction(logits, unfused, features)

    def _heat_maps(self, features: Tensor) -> Tensor:
        """(R, P*c, h, h) -> (R, P, m, m)"""
        return self.deconv2(F.relu(self.norm1(self.deconv1(features))))

    def _initialize(self, init: GridInit) -> None:
        if init == "pytorch":
            return
        mode: Fan = "fan_in" if init == "plus" else "fan_out"
        for layer in cast(Iterable[_ConvNorm], self.convs):
            layer.initialize(mode)
        for fusion in (self.fuse1, self.fuse2):
            if fusion is not None:
                fusion.initialize(mode)
        for deconv in (self.deconv1, self.deconv2):
            nn.init.normal_(deconv.weight, std=0.001)
            nn.init.zeros_(cast(Tensor, deconv.bias))
        nn.init.constant_(cast(Tensor, self.deconv2.bias), math.log(PRIOR / (1 - PRIOR)))


def _kaiming(conv: nn.Conv2d, mode: Fan, parts: int = 1) -> None:
    """Kaiming's initialisation of a convolution that stands for ``parts`` of them."""
    for weight in conv.weight.data.chunk(parts):
        nn.init.kaiming_normal_(weight, mode=mode, nonlinearity="relu")
    nn.init.zeros_(cast(Tensor, conv.bias))
