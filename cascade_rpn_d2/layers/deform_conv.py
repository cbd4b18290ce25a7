"""Deformable convolution: the sampled convolution whose taps are moved by given offsets.

The kernels are those of :mod:`cascade_rpn_d2.layers.adaptive_conv`; only the rule that places the
taps differs. It is what the feature adaption of Guided Anchoring (Wang et al., CVPR 2019, section
3.3) and Iterative RPN+ need (deformable convolution: Dai et al., ICCV 2017).

Shape shorthand in this module:
    N images, C input channels, O output channels, G groups of offsets, Kh, Kw kernel size,
    H, W the input map, Ho, Wo the output map.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from . import _fallback, _library
from ._checks import check_conv, check_mask, check_places, pair


def deform_conv2d(
    input: Tensor,
    offset: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: int | Iterable[int] = 1,
    padding: int | Iterable[int] = 0,
    dilation: int | Iterable[int] = 1,
    mask: Tensor | None = None,
) -> Tensor:
    """Deformable convolution, as ``torchvision.ops.deform_conv2d`` without modulation.

    Tap (ky, kx) of output cell (j, i) samples the map bilinearly at row
    ``j * stride - padding + ky * dilation + dy`` and the like column. The map is zero outside; a
    tap whose position is NaN, infinite or outside the map contributes exactly zero and its offset
    gets no gradient. Groups of channels of the weight, and groups of channels that share offsets,
    follow from the shapes of ``weight`` and ``offset``.

    Positions are computed, and products summed, in float32 or better whatever the dtype of the
    input. Under autocast input, weight and bias are cast as for a convolution; the offsets are not.

    With a ``mask`` (torchvision's scales samples, this one does not) only its cells are evaluated,
    forward at a cost in proportion to their number; the other outputs are zero, without the bias. A
    channels-last input is fastest then: of any other all pixels are first put in that order.

    Derivatives in forward mode (``torch.func.jvp``) are those of the pure-torch fallback, which
    tensors that carry one run on.

    Args:
        input: (N, C, H, W); float32, float64, float16 or bfloat16. N may be 0.
        offset: (N, 2*G*Kh*Kw, Ho, Wo), in cells: per group and tap (row-major) dy, then dx. G
            divides C. The dtype may differ from the input's.
        weight: (O, C / groups, Kh, Kw).
        bias: (O,) or None.
        stride: cells between the outputs' samples, one number or (y, x).
        padding: cells of zeros around the map, one number or (y, x).
        dilation: cells between neighbouring taps, one number or (y, x).
        mask: (N, Ho, Wo) bool, which cells to evaluate; None for all.

    Returns:
        (N, O, Ho, Wo), channels-last when the input is.

    Raises:
        ValueError: when shapes, devices or numbers do not fit; the message quotes them.
        TypeError: when dtypes do not fit.
    """
    stride, padding = pair("stride", stride, 1), pair("padding", padding, 0)
    dilation = pair("dilation", dilation, 1)
    _check(input, offset, weight, bias, mask, stride, padding, dilation)
    if _library.has_kernel(input.device) and not _library.has_tangent(input, offset, weight, bias):
        return torch.ops.cascade_rpn_d2.deform_conv2d(
            input, offset, weight, bias, mask, stride, padding, dilation
        )
    return _deform_conv2d_fallback(input, offset, weight, bias, mask, stride, padding, dilation)


class DeformConv2d(nn.Module):
    """:func:`deform_conv2d` with a weight; forward is handed the offsets.

    Args:
        in_channels: C, channels of the input.
        out_channels: O, channels of the output.
        kernel_size: one number or (Kh, Kw).
        stride: cells between the outputs' samples, one number or (y, x).
        padding: cells of zeros around the map, one number or (y, x).
        dilation: cells between neighbouring taps, one number or (y, x).
        bias: whether to add a bias (initially zero).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Iterable[int] = 3,
        stride: int | Iterable[int] = 1,
        padding: int | Iterable[int] = 0,
        dilation: int | Iterable[int] = 1,
        bias: bool = False,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = pair("kernel_size", kernel_size, 1)
        self.stride = pair("stride", stride, 1)
        self.padding = pair("padding", padding, 0)
        self.dilation = pair("dilation", dilation, 1)
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, *self.kernel_size))
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws the weight from normal(0, 0.01), as the reference heads do; the bias is zero."""
        nn.init.normal_(self.weight, std=0.01)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor, offset: Tensor, mask: Tensor | None = None) -> Tensor:
        """See :func:`deform_conv2d`; offset (N, 2*G*Kh*Kw, Ho, Wo) -> (N, O, Ho, Wo)."""
        return deform_conv2d(
            x,
            offset,
            self.weight,
            self.bias,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            mask=mask,
        )

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}, padding={self.padding}, dilation={self.dilation}, "
            f"bias={self.bias is not None}"
        )


def _check(
    input: Tensor,
    offset: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    mask: Tensor | None,
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
) -> None:
    check_conv(input, weight, bias)
    check_places("offset", offset, input)
    images, channels = input.shape[:2]
    out_channels, group_channels, *kernel_size = weight.shape
    groups = channels // group_channels
    if groups * group_channels != channels or groups == 0 or out_channels % groups != 0:
        raise ValueError(
            f"weight (O, C / groups, Kh, Kw) must split the {channels} channels of the input "
            f"{tuple(input.shape)}, and its own O, into equal groups; got shape "
            f"{tuple(weight.shape)}."
        )
    out_size = _out_size(input, kernel_size, stride, padding, dilation)
    if min(out_size) < 1:
        raise ValueError(
            f"input {tuple(input.shape)} must be large enough for one output of the kernel "
            f"{tuple(kernel_size)} with stride {stride}, padding {padding} and dilation {dilation}."
        )
    per_group = 2 * kernel_size[0] * kernel_size[1]
    if offset.dim() != 4 or (offset.shape[0], *offset.shape[2:]) != (images, *out_size):
        raise ValueError(
            f"offset must have shape (N, 2*G*Kh*Kw, Ho, Wo) = ({images}, G*{per_group}, "
            f"{out_size[0]}, {out_size[1]}) for the input {tuple(input.shape)} and the weight "
            f"{tuple(weight.shape)}; got shape {tuple(offset.shape)}."
        )
    check_mask(mask, input, (images, *out_size))
    offset_groups = offset.shape[1] // per_group
    if offset_groups == 0 or offset.shape[1] % per_group or channels % offset_groups:
        raise ValueError(
            f"offset must have 2*Kh*Kw = {per_group} channels for each of G groups, where G "
            f"divides the {channels} channels of the input; got shape {tuple(offset.shape)}."
        )


def _out_size(input, kernel_size, stride, padding, dilation) -> tuple[int, int]:
    """(Ho, Wo) of a convolution over the map."""
    height, width = (
        (size + 2 * padding[i] - dilation[i] * (kernel_size[i] - 1) - 1) // stride[i] + 1
        for i, size in enumerate(input.shape[2:])
    )
    return height, width


def _deform_conv2d_fallback(
    input: Tensor,
    offset: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    mask: Tensor | None,
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
) -> Tensor:
    input = _fallback.autocast(input)
    y, x = _fallback.offset_positions(
        offset.to(_fallback.compute_dtype(input.dtype)),
        kernel_size=(weight.shape[2], weight.shape[3]),
        stride=stride,
        padding=padding,
        dilation=dilation,
    )
    return _fallback.sampled_conv2d(input, y, x, weight, bias, mask)


def _register() -> None:
    """Gives the compiled operator its shapes (for torch.compile) and its gradient."""

    @torch.library.register_fake("cascade_rpn_d2::deform_conv2d")
    def _(input, offset, weight, bias, mask, stride, padding, dilation):
        out_size = _out_size(input, weight.shape[2:], stride, padding, dilation)
        output = input.new_empty(input.shape[0], weight.shape[0], *out_size)
        return output.contiguous(memory_format=_library.memory_format_of(input))

    @torch.library.register_fake("cascade_rpn_d2::deform_conv2d_backward")
    def _(grad_output, input, offset, weight, mask, stride, padding, dilation, output_mask):
        return tuple(map(_library.empty_gradient, (input, offset, weight), output_mask))

    def setup_context(ctx, inputs, output):
        input, offset, weight, _, mask, *ctx.geometry = inputs
        ctx.save_for_backward(input, offset, weight, mask)

    def backward(ctx, grad_output):
        _library.forbid_forward_mode("deform_conv2d", grad_output)
        *needs, needs_bias = ctx.needs_input_grad[:4]
        gradients: list[Tensor | None] = [None, None, None]
        if any(needs):
            computed = torch.ops.cascade_rpn_d2.deform_conv2d_backward(
                grad_output, *ctx.saved_tensors, *ctx.geometry, needs
            )
            gradients = [g if need else None for g, need in zip(computed, needs, strict=True)]
        mask = ctx.saved_tensors[-1]
        grad_bias = _library.bias_gradient(grad_output, mask) if needs_bias else None
        return (*gradients, grad_bias, None, None, None, None)

    torch.library.register_autograd(
        "cascade_rpn_d2::deform_conv2d", backward, setup_context=setup_context
    )
    _library.forbid_double_backward("deform_conv2d")


if _library.is_compiled():
    _register()
