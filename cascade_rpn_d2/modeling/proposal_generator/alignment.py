"""How a stage aligns the features of a cell to the box of that cell before it predicts.

Every alignment is the one 3x3 convolution of its stage, shared by all levels, and is called as
``align(features, boxes, strides)``:

* ``features``: one (N, C, Hi, Wi) map a level;
* ``boxes``: one (N, Hi*Wi*A, 4) tensor a level, XYXY in pixels, cells row by row;
* returns one (N, O, Hi, Wi) map a level, before the activation.

An alignment that follows the box of a cell needs A = 1 and says so with
``one_box_per_cell = True``.

The rows of the papers' tables in these terms: *none* and *dilated* are :class:`ConvAlignment`,
*center* and *center + shape* (the full adaptive convolution) are :class:`AdaptiveAlignment`,
learned deformable offsets (Iterative RPN+) are :class:`LearnedAlignment`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...layers import AdaptiveConv2d, DeformConv2d
from ..initialize import initialize


class ConvAlignment(nn.Module):
    """A plain convolution, which sees every box as the anchor it was: no alignment.

    Args:
        in_channels: channels of the input maps.
        out_channels: channels of the output maps.
        dilation: spacing of the taps in cells. Stage 1 of Cascade RPN uses 3; a spacing of 4 would
            put the outer taps exactly on the edges of an anchor 8 strides wide.
    """

    def __init__(self, in_channels: int, out_channels: int, dilation: int = 1):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=dilation, dilation=dilation)
        initialize(self.conv)

    def forward(
        self, features: Sequence[Tensor], boxes: Sequence[Tensor], strides: Sequence[int]
    ) -> list[Tensor]:
        """See the module's docstring."""
        return [self.conv(x) for x in features]


class AdaptiveAlignment(nn.Module):
    """Adaptive convolution, taps spread over the box of the cell (Cascade RPN, section 4.1).

    Args:
        in_channels: channels of the input maps.
        out_channels: channels of the output maps.
        center_only: follow the centre of the box but not its shape: the taps stay one cell apart
            (the row "center" of Table 4).
        center_offset: where in a cell its anchor is centred, in strides: 0.0, or 0.5 for anchors
            generated with an offset of 0.5 (the authors' weights).
    """

    one_box_per_cell = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        center_only: bool = False,
        center_offset: float = 0.0,
    ):
        super().__init__()
        self.conv = AdaptiveConv2d(in_channels, out_channels, kernel_size=3)
        self.center_only = center_only
        self.center_offset = center_offset

    def forward(
        self, features: Sequence[Tensor], boxes: Sequence[Tensor], strides: Sequence[int]
    ) -> list[Tensor]:
        """See the module's docstring; needs one box a cell (A = 1)."""
        if self.center_only:
            # A box of two cells' side has its outer taps one cell from the middle one.
            boxes = [square_boxes(b, 2 * stride) for b, stride in zip(boxes, strides, strict=True)]
        return [
            self.conv(x, b, stride, self.center_offset)
            for x, b, stride in zip(features, boxes, strides, strict=True)
        ]


class LearnedAlignment(nn.Module):
    """Deformable convolution with offsets learned from the map itself (Iterative RPN+, Figure 2c).

    Args:
        in_channels: channels of the input maps.
        out_channels: channels of the output maps.
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.offset = nn.Conv2d(in_channels, 2 * 3 * 3, 3, padding=1)
        for parameter in self.offset.parameters():
            nn.init.zeros_(parameter)  # starts as a plain convolution
        self.conv = DeformConv2d(in_channels, out_channels, kernel_size=3, padding=1)

    def forward(
        self, features: Sequence[Tensor], boxes: Sequence[Tensor], strides: Sequence[int]
    ) -> list[Tensor]:
        """See the module's docstring."""
        return [self.conv(x, self.offset(x)) for x in features]


def square_boxes(boxes: Tensor, side: float) -> Tensor:
    """Squares (..., 4) of the given ``side`` around the centres of ``boxes`` (..., 4)."""
    center = (boxes[..., :2] + boxes[..., 2:]) / 2
    return torch.cat((center - side / 2, center + side / 2), dim=-1)
