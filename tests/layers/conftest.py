"""An independent float64 reference of the sampled convolutions.

It shares no formula with the package: taps of a box come from a division of its sides, and bilinear
sampling is a product of tent functions over the whole map, which are zero outside by themselves.
"""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor


def box_taps(boxes: Tensor, height: int, width: int, kernel_size: int, stride: float, o: float):
    """(N, H*W, 4) boxes -> rows and columns (N, 1, K*K, H, W) of the taps."""
    x1, y1, x2, y2 = boxes.double().reshape(-1, height, width, 4).unbind(-1)
    steps = [i / (kernel_size - 1) for i in range(kernel_size)] if kernel_size > 1 else [0.5]
    rows = [((1 - t) * y1 + t * y2) / stride - o for t in steps]
    columns = [((1 - t) * x1 + t * x2) / stride - o for t in steps]
    y = torch.stack([row for row in rows for _ in columns], 1)[:, None]
    x = torch.stack([column for _ in rows for column in columns], 1)[:, None]
    return y, x


def offset_taps(offset: Tensor, kernel_size, stride, padding, dilation):
    """(N, 2*G*T, Ho, Wo) offsets -> rows and columns (N, G, T, Ho, Wo) of the taps."""
    images, channels, out_height, out_width = offset.shape
    taps = kernel_size[0] * kernel_size[1]
    moved = offset.double().reshape(images, channels // (2 * taps), taps, 2, out_height, out_width)
    y, x = moved[:, :, :, 0].clone(), moved[:, :, :, 1].clone()
    for tap in range(taps):
        ky, kx = divmod(tap, kernel_size[1])
        for j in range(out_height):
            y[:, :, tap, j] += j * stride[0] - padding[0] + ky * dilation[0]
        for i in range(out_width):
            x[:, :, tap, :, i] += i * stride[1] - padding[1] + kx * dilation[1]
    return y, x


def _tents(positions: Tensor, size: int) -> Tensor:
    """(...) positions -> (..., size) bilinear weights; none for NaN and infinite positions."""
    distance = (positions[..., None] - torch.arange(size, dtype=torch.double)).abs()
    return (1 - torch.nan_to_num(distance, nan=2.0)).clamp(min=0)


def sampled_conv(input: Tensor, y: Tensor, x: Tensor, weight: Tensor, bias=None) -> Tensor:
    """The convolution of samples at y, x (N, G, T, Ho, Wo), all in float64."""
    images, channels, height, width = input.shape
    maps = input.double().reshape(images, y.shape[1], -1, height, width)
    samples = torch.einsum(
        "ngtijr,ngtijc,ngkrc->ngktij", _tents(y, height), _tents(x, width), maps
    )  # (N, G, C/G, T, Ho, Wo)
    out_channels, group_channels = weight.shape[:2]
    groups = channels // group_channels
    samples = samples.reshape(images, groups, group_channels, *samples.shape[3:])
    matrices = weight.double().reshape(groups, out_channels // groups, group_channels, -1)
    output = torch.einsum("ngctij,goct->ngoij", samples, matrices)
    output = output.reshape(images, out_channels, *output.shape[3:])
    return output if bias is None else output + bias.double()[:, None, None]


@pytest.fixture(scope="session")
def reference() -> SimpleNamespace:
    """The functions of this file."""
    return SimpleNamespace(box_taps=box_taps, offset_taps=offset_taps, sampled_conv=sampled_conv)


@pytest.fixture(params=["compiled", "fallback"])
def implementation(request, monkeypatch) -> str:
    """Runs a test on the compiled kernels and on the pure-torch fallback."""
    from cascade_rpn_d2.layers import _library

    if request.param == "fallback":
        monkeypatch.setattr(_library, "_kernel_devices", frozenset())
        monkeypatch.setattr(_library, "_warned", True)
    elif not _library.is_compiled():
        pytest.skip("the compiled library is absent")
    return request.param
