"""How features are adapted to the guided anchors of their cells (Guided Anchoring, section 3.3).

An adaption is the 3x3 convolution of its head, shared by all levels, and is called for one level as
``adapt(x, shape, mask)``:

* ``x``: the (N, C, H, W) map;
* ``shape``: (N, S, H, W), what the shape branch predicts, before it becomes a width and a height;
  None for a head without that branch;
* ``mask``: (N, H, W) bool, the cells to evaluate; None for all. The others are zero;
* returns the (N, O, H, W) map, before the activation.

Its ``shape_channels`` is the S that it reads, or None if it reads no shape.
"""

from __future__ import annotations

from torch import Tensor, nn

from ..layers import DeformConv2d

TAPS = 3 * 3


class FeatureAdaption(nn.Module):
    """Deformable convolution with offsets made of the predicted shape (equation 3).

    The shape gets no gradient through it: what a cell's features should see does not move its
    anchor.

    Args:
        in_channels: C, channels of the input map.
        out_channels: O, channels of the output map.
        shape_channels: S, numbers that the shape branch predicts for a cell.
        offset_groups: groups of channels with offsets of their own.

    Raises:
        ValueError: if the groups do not divide C.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        shape_channels: int = 2,
        offset_groups: int = 4,
    ):
        super().__init__()
        _check_groups(in_channels, offset_groups)
        self.shape_channels = shape_channels
        self.offset = nn.Conv2d(shape_channels, offset_groups * 2 * TAPS, 1, bias=False)
        # As the paper's code has it. mmdet since 2021 starts from zero, which leaves the features
        # without any notion of the shape until the offsets are learned.
        nn.init.normal_(self.offset.weight, std=0.1)
        self.conv = DeformConv2d(in_channels, out_channels, kernel_size=3, padding=1)

    def forward(self, x: Tensor, shape: Tensor | None, mask: Tensor | None = None) -> Tensor:
        """See the module's docstring."""
        if shape is None:
            raise ValueError("FeatureAdaption needs a head that predicts shapes.")
        # Offsets are read plane by plane: few channels of the shape are turned over here, or all of
        # the offsets were in the convolution.
        return self.conv(x, self.offset(shape.detach().contiguous()), mask)


class LearnedFeatureAdaption(nn.Module):
    """Deformable convolution with offsets made of the map itself, whatever the anchors are.

    What the paper compares with in section 4.3, "Feature adaption" (AR 56.1 / 62.4 / 66.1).

    Args:
        in_channels: C, channels of the input map.
        out_channels: O, channels of the output map.
        offset_groups: groups of channels with offsets of their own.

    Raises:
        ValueError: if the groups do not divide C.
    """

    shape_channels = None

    def __init__(self, in_channels: int, out_channels: int, *, offset_groups: int = 4):
        super().__init__()
        _check_groups(in_channels, offset_groups)
        self.offset = nn.Conv2d(in_channels, offset_groups * 2 * TAPS, 3, padding=1)
        for parameter in self.offset.parameters():
            nn.init.zeros_(parameter)  # starts as a plain convolution
        self.conv = DeformConv2d(in_channels, out_channels, kernel_size=3, padding=1)

    def forward(self, x: Tensor, shape: Tensor | None, mask: Tensor | None = None) -> Tensor:
        """See the module's docstring."""
        return self.conv(x, self.offset(x), mask)


class PlainFeatureAdaption(nn.Module):
    """A plain convolution in the same place: as deep a head, and no adaption.

    The paper does not say whether its rows without feature adaption keep such a layer; ours leave
    it out unless they are told to have it.

    Args:
        in_channels: C, channels of the input map.
        out_channels: O, channels of the output map.
    """

    shape_channels = None

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
        nn.init.normal_(self.conv.weight, std=0.01)

    def forward(self, x: Tensor, shape: Tensor | None, mask: Tensor | None = None) -> Tensor:
        """See the module's docstring."""
        adapted = self.conv(x)
        return adapted if mask is None else adapted * mask[:, None]


def _check_groups(in_channels: int, offset_groups: int) -> None:
    if offset_groups < 1 or in_channels % offset_groups:
        raise ValueError(
            f"offset_groups must divide the {in_channels} channels of the map, as 4 groups divide "
            f"256, not {offset_groups}."
        )
