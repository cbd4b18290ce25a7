"""The sampled convolutions in pure torch, for when the compiled library is absent.

Same results as the kernels (positions and sums in float32 or better), gradients by autograd; the
price is memory and time. It loops over the K*K taps, never over positions.

Shape shorthand in this module:
    N images, C input channels, O output channels, G groups of offsets, T = Kh*Kw taps,
    H, W the input map, Ho, Wo the output map.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ._library import memory_format_of


def compute_dtype(dtype: torch.dtype) -> torch.dtype:
    """The dtype in which positions are computed and products are summed."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def autocast(input: Tensor) -> Tensor:
    """The map in the dtype of autocast where that is on; float64 is left alone, as by torch."""
    device_type = input.device.type
    if input.dtype == torch.float64 or not torch.is_autocast_enabled(device_type):
        return input
    return input.to(torch.get_autocast_dtype(device_type))


def box_positions(
    boxes: Tensor, height: int, width: int, kernel_size: int, stride: float, center_offset: float
) -> tuple[Tensor, Tensor]:
    """Rows and columns, in cells, at which the taps of each cell sample the map.

    Args:
        boxes: (N, H*W, 4) XYXY boxes in pixels, row-major.
        height: H.
        width: W.
        kernel_size: K; the outer taps lie on the border of the box.
        stride: pixels per cell.
        center_offset: position of a cell's centre within the cell, in cells.

    Returns:
        Two tensors (N, 1, K*K, H, W).
    """
    x1, y1, x2, y2 = boxes.unflatten(1, (height, width)).unbind(-1)  # each (N, H, W)
    taps = torch.arange(kernel_size, dtype=boxes.dtype, device=boxes.device)
    fraction = taps / (kernel_size - 1) - 0.5 if kernel_size > 1 else taps  # (K,)

    def spread(low: Tensor, high: Tensor) -> Tensor:
        """(N, H, W) edges -> (N, K, H, W) positions from the one to the other."""
        center = (low + high) / (2 * stride) - center_offset
        return center[:, None] + fraction[:, None, None] * ((high - low) / stride)[:, None]

    y = spread(y1, y2).repeat_interleave(kernel_size, dim=1)  # (N, K*K, H, W), x fastest
    x = spread(x1, x2).repeat(1, kernel_size, 1, 1)
    return y[:, None], x[:, None]


def offset_positions(
    offset: Tensor,
    kernel_size: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
) -> tuple[Tensor, Tensor]:
    """Rows and columns, in cells, at which a deformable convolution samples the map.

    Args:
        offset: (N, 2*G*T, Ho, Wo), tap-major, y before x.
        kernel_size: (Kh, Kw).
        stride: cells between neighbouring outputs, (y, x).
        padding: cells of zero padding, (y, x).
        dilation: cells between neighbouring taps, (y, x).

    Returns:
        Two tensors (N, G, T, Ho, Wo).
    """
    taps = kernel_size[0] * kernel_size[1]
    offset_groups = offset.shape[1] // (2 * taps)
    dy, dx = offset.unflatten(1, (offset_groups, taps, 2)).unbind(3)  # each (N, G, T, Ho, Wo)

    def integers(size: int) -> Tensor:
        return torch.arange(size, dtype=offset.dtype, device=offset.device)

    rows = integers(dy.shape[-2]) * stride[0] - padding[0]  # (Ho,)
    columns = integers(dx.shape[-1]) * stride[1] - padding[1]  # (Wo,)
    tap_rows = (integers(kernel_size[0]) * dilation[0]).repeat_interleave(kernel_size[1])  # (T,)
    tap_columns = (integers(kernel_size[1]) * dilation[1]).repeat(kernel_size[0])  # (T,)
    y = dy + (tap_rows[:, None, None] + rows[:, None])
    x = dx + (tap_columns[:, None, None] + columns)
    return y, x


def sampled_conv2d(
    input: Tensor,
    y: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    mask: Tensor | None,
) -> Tensor:
    """Convolution whose taps sample the map bilinearly at given positions, zero outside the map.

    Args:
        input: (N, C, H, W).
        y: (N, G, T, Ho, Wo) rows in cells, of dtype ``compute_dtype(input.dtype)``.
        x: (N, G, T, Ho, Wo) columns in cells, likewise.
        weight: (O, C / groups, Kh, Kw); like the bias, it is first rounded to the input's dtype.
        bias: (O,) or None.
        mask: (N, Ho, Wo) bool, outside of which outputs are zero; it saves no time here. None for
            all.

    Returns:
        (N, O, Ho, Wo), channels-last where the input is.
    """
    images, channels, height, width = input.shape
    offset_groups, taps, out_height, out_width = y.shape[1:]
    dtype = y.dtype
    if mask is not None:
        y = y.masked_fill(~mask[:, None, None], torch.nan)  # outside: neither value nor gradient
    # (N, C, H, W) -> (N, H*W, G, C/G)
    pixels = input.to(dtype).permute(0, 2, 3, 1)
    pixels = pixels.reshape(images, height * width, offset_groups, channels // offset_groups)
    out_channels, group_channels = weight.shape[:2]
    groups = channels // group_channels
    # (O, C/groups, Kh, Kw) -> (T, groups, C/groups, O/groups)
    matrices = (
        weight.to(input.dtype)
        .to(dtype)
        .reshape(groups, out_channels // groups, group_channels, taps)
    )
    matrices = matrices.permute(3, 0, 2, 1)

    cells = out_height * out_width
    output = pixels.new_zeros(groups, images * cells, out_channels // groups)
    for tap in range(taps):
        columns = _sample(
            pixels, y[:, :, tap].flatten(2), x[:, :, tap].flatten(2), height, width
        )  # (N, cells, G, C/G)
        columns = columns.reshape(images * cells, groups, group_channels).transpose(0, 1)
        with torch.autocast(input.device.type, enabled=False):  # sum in the compute dtype
            output = output + columns @ matrices[tap]
    # (groups, N*cells, O/groups) -> (N, Ho, Wo, O) -> (N, O, Ho, Wo)
    output = output.transpose(0, 1).reshape(images, out_height, out_width, out_channels)
    if bias is not None:
        output = output + bias.to(input.dtype).to(dtype)
    if mask is not None:
        output = output.masked_fill(~mask[..., None], 0)  # the bias
    output = output.to(input.dtype).permute(0, 3, 1, 2)
    return output.contiguous(memory_format=memory_format_of(input))


def _sample(pixels: Tensor, y: Tensor, x: Tensor, height: int, width: int) -> Tensor:
    """Bilinear samples (N, cells, G, C/G) of pixels (N, H*W, G, C/G) at y, x (N, G, cells)."""
    # A comparison with NaN is False, so NaN positions are outside like far ones.
    inside = (y > -1) & (y < height) & (x > -1) & (x < width)
    y = torch.where(inside, y, 0)
    x = torch.where(inside, x, 0)
    top, left = y.detach().floor(), x.detach().floor()
    to_bottom, to_right = y - top, x - left
    samples = torch.zeros((), dtype=pixels.dtype, device=pixels.device)
    for row, row_weight in ((top, 1 - to_bottom), (top + 1, to_bottom)):
        for column, column_weight in ((left, 1 - to_right), (left + 1, to_right)):
            valid = inside & (row >= 0) & (row < height) & (column >= 0) & (column < width)
            index = torch.where(valid, row * width + column, 0).long()  # (N, G, cells)
            index = index.transpose(1, 2).unsqueeze(-1).expand(-1, -1, -1, pixels.shape[-1])
            corner = pixels.gather(1, index)  # (N, cells, G, C/G)
            # where() and not a zero weight: 0 * inf of an unrelated pixel would be NaN.
            corner = torch.where(valid.transpose(1, 2).unsqueeze(-1), corner, 0)
            share = (row_weight * column_weight).transpose(1, 2).unsqueeze(-1)
            samples = samples + share * corner
    return samples
