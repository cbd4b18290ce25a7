"""Bottleneck blocks with deformable convolutions, for Detectron2's ``ResNet``.

Detectron2's own need its compiled extension to be built, and on a CPU they are not trained.

Shape shorthand: ``N`` images, ``C`` channels, ``G`` groups of channels that share offsets, ``H, W``
the input map, ``Ho, Wo`` the output map.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import fvcore.nn.weight_init as weight_init
import torch
import torch.nn.functional as F
import torchvision
from detectron2.layers import CNNBlockBase, Conv2d, get_norm
from torch import Tensor, nn

from ...layers import deform_conv2d


class DeformBottleneckBlock(CNNBlockBase):
    """A bottleneck block whose 3x3 convolution is deformable: ``block_class`` of
    ``ResNet.make_stage``.

    A further 3x3 convolution predicts where every tap samples (Dai et al., ICCV 2017) and, with
    ``deform_modulated``, how much its sample counts (Zhu et al., CVPR 2019). It starts with zeros:
    no offsets, and samples that count half.

    Arguments, weights and their names are those of Detectron2's block, whose state dict it takes:
    ``conv1``, ``conv2_offset``, ``conv2``, ``conv3`` and, where the channels change, ``shortcut``;
    norms are inside the convolutions.

    Args:
        in_channels: of the input.
        out_channels: of the output.
        bottleneck_channels: of the 3x3 convolution, in and out.
        stride: of the block.
        num_groups: groups of the 3x3 convolution.
        norm: of all convolutions but that of the offsets, see Detectron2's ``get_norm``.
        stride_in_1x1: whether the first convolution has the stride, and not the 3x3 ones.
        dilation: cells between the taps of the 3x3 convolutions.
        deform_modulated: whether samples are weighted.
        deform_num_groups: G, which divides ``bottleneck_channels``.

    Raises:
        ValueError: if groups do not divide the channels; those of the offsets when it is called.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        bottleneck_channels: int,
        stride: int = 1,
        num_groups: int = 1,
        norm: str | Callable[[int], nn.Module] = "BN",
        stride_in_1x1: bool = False,
        dilation: int = 1,
        deform_modulated: bool = False,
        deform_num_groups: int = 1,
    ):
        super().__init__(in_channels, out_channels, stride)
        self.deform_modulated = deform_modulated

        def projection(inputs: int, outputs: int, stride: int = 1) -> Conv2d:
            return Conv2d(
                inputs, outputs, 1, stride=stride, bias=False, norm=get_norm(norm, outputs)
            )

        stride_1x1, stride_3x3 = (stride, 1) if stride_in_1x1 else (1, stride)
        taps: dict[str, Any] = dict(
            kernel_size=3, stride=stride_3x3, padding=dilation, dilation=dilation
        )
        width = bottleneck_channels
        # In Detectron2's order, by which a seed gives the same weights and a resumed optimizer
        # knows its parameters.
        changes = in_channels != out_channels
        self.shortcut = projection(in_channels, out_channels, stride) if changes else None
        self.conv1 = projection(in_channels, width, stride_1x1)
        per_group = 27 if deform_modulated else 18  # dy and dx of nine taps, and their modulation
        self.conv2_offset = Conv2d(width, per_group * deform_num_groups, **taps)
        self.conv2 = DeformConv(
            width, width, groups=num_groups, bias=False, norm=get_norm(norm, width), **taps
        )
        self.conv3 = projection(width, out_channels)

        for layer in filter(None, (self.conv1, self.conv2, self.conv3, self.shortcut)):
            weight_init.c2_msra_fill(layer)
        nn.init.zeros_(self.conv2_offset.weight)
        nn.init.zeros_(self.conv2_offset.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, Ho, Wo)."""
        out = F.relu_(self.conv1(x))
        places = self.conv2_offset(out)  # (N, 18*G or 27*G, Ho, Wo)
        if self.deform_modulated:
            groups_taps = places.shape[1] // 3
            offset, modulation = places.split((2 * groups_taps, groups_taps), dim=1)
            out = self.conv2(out, offset, modulation.sigmoid())
        else:
            out = self.conv2(out, places)
        out = self.conv3(F.relu_(out))
        out += x if self.shortcut is None else self.shortcut(x)
        return F.relu_(out)


class DeformConv(Conv2d):
    """Detectron2's ``Conv2d``, with its norm and activation, whose taps are moved.

    It is called with the offsets and, where samples are weighted, their modulation.
    """

    def forward(self, x: Tensor, offset: Tensor, modulation: Tensor | None = None) -> Tensor:
        """See :func:`.layers.deform_conv2d`.

        Args:
            x: (N, C, H, W).
            offset: (N, 2*G*Kh*Kw, Ho, Wo), in cells.
            modulation: (N, G*Kh*Kw, Ho, Wo), what samples are multiplied with; None for 1.

        Returns:
            (N, out_channels, Ho, Wo).

        Raises:
            ValueError: when shapes do not fit; with a modulation RuntimeError.
        """
        places: dict[str, Any] = dict(
            stride=self.stride, padding=self.padding, dilation=self.dilation
        )
        if modulation is None:
            x = deform_conv2d(x, offset, self.weight, self.bias, **places)
        else:
            x = _modulated_conv2d(x, offset, modulation, self.weight, self.bias, **places)
        if self.norm is not None:
            x = self.norm(x)
        return x if self.activation is None else self.activation(x)


def _modulated_conv2d(
    x: Tensor,
    offset: Tensor,
    modulation: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    **places: Any,
) -> Tensor:
    # Our kernels do not scale samples: no row of our papers needs it. torchvision's do, but know no
    # bfloat16, and on a CPU no float16.
    dtype = torch.promote_types(x.dtype, torch.float32)
    parts = (t if t is None else t.to(dtype) for t in (x, offset, weight, bias))
    output = torchvision.ops.deform_conv2d(*parts, mask=modulation.to(dtype), **places)
    return output.to(x.dtype)
