"""Adaptive convolution: every cell spreads the taps of its kernel over a box of its own.

Where a convolution samples a fixed grid and a deformable one learns its offsets, an adaptive
convolution is told by a box per cell where to look, so the features follow the boxes that a
previous stage has regressed (Cascade RPN, Vu et al., NeurIPS 2019, section 4.1).

Shape shorthand in this module:
    N images, C input channels, O output channels, K kernel size, H, W the map.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from . import _fallback, _library
from ._checks import check_conv, check_mask, check_places, check_stride


def adaptive_conv2d(
    input: Tensor,
    boxes: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: float,
    center_offset: float = 0.0,
    mask: Tensor | None = None,
) -> Tensor:
    """Convolves each cell with taps spread evenly over its box, from edge to edge.

    With K = 3 the outer taps lie on the border of the box and the middle one on its centre::

        y = (y1 + y2) / (2 * stride) - center_offset + ky * (y2 - y1) / (2 * stride)

    for ky in {-1, 0, 1}, and likewise for x; in general neighbouring taps are
    ``(y2 - y1) / (K - 1)`` pixels apart (K = 1 samples the centre). The map is sampled bilinearly
    and is zero outside. A tap whose position is NaN, infinite or outside the map contributes
    exactly zero. On boxes of ``2 * stride`` pixels around the centres of their cells and with K = 3
    this is ``F.conv2d(input, weight, bias, padding=1)``.

    Positions are computed, and products summed, in float32 or better whatever the dtype of the
    input. Under autocast input, weight and bias are cast as for a convolution; the boxes are not.

    With a ``mask`` only its cells are evaluated, forward at a cost in proportion to their number;
    the other outputs are zero, without the bias. A channels-last input is fastest then: of any
    other all pixels are first put in that order.

    Derivatives in forward mode (``torch.func.jvp``) are those of the pure-torch fallback, which
    tensors that carry one run on.

    Args:
        input: (N, C, H, W); float32, float64, float16 or bfloat16. N may be 0.
        boxes: (N, H*W, 4) XYXY in image pixels, continuous coordinates, one per cell, row-major.
            They get no gradient; their dtype may differ from the input's.
        weight: (O, C, K, K), K odd.
        bias: (O,) or None.
        stride: image pixels per cell of the map.
        center_offset: where in its cell a cell's centre lies, in cells: 0.0 when the anchor of cell
            (i, j) is centred on pixel (i * stride, j * stride), 0.5 when half a stride further.
        mask: (N, H, W) bool, which cells to evaluate; None for all.

    Returns:
        (N, O, H, W), channels-last when the input is.

    Raises:
        ValueError: when shapes, devices or the stride do not fit; the message quotes them.
        TypeError: when dtypes do not fit.
    """
    _check(input, boxes, weight, bias, stride, mask)
    boxes = boxes.detach()
    stride, center_offset = float(stride), float(center_offset)
    if _library.has_kernel(input.device) and not _library.has_tangent(input, weight, bias):
        return torch.ops.cascade_rpn_d2.adaptive_conv2d(
            input, boxes, weight, bias, mask, stride, center_offset
        )
    return _adaptive_conv2d_fallback(input, boxes, weight, bias, mask, stride, center_offset)


class AdaptiveConv2d(nn.Module):
    """:func:`adaptive_conv2d` with a weight; initialised as the paper's code does, normal(0, 0.01).

    Args:
        in_channels: C, channels of the input.
        out_channels: O, channels of the output.
        kernel_size: K, odd.
        bias: whether to add a bias (initially zero); the paper's adaptive convolution has none.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int = 3, bias: bool = False
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = kernel_size
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws the weight from normal(0, 0.01) and sets the bias to zero."""
        nn.init.normal_(self.weight, std=0.01)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(
        self,
        x: Tensor,
        boxes: Tensor,
        stride: float,
        center_offset: float = 0.0,
        mask: Tensor | None = None,
    ) -> Tensor:
        """See :func:`adaptive_conv2d`: x (N, C, H, W), boxes (N, H*W, 4) -> (N, O, H, W)."""
        return adaptive_conv2d(
            x,
            boxes,
            self.weight,
            self.bias,
            stride=stride,
            center_offset=center_offset,
            mask=mask,
        )

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
            f"bias={self.bias is not None}"
        )


def _check(
    input: Tensor,
    boxes: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: float,
    mask: Tensor | None,
) -> None:
    check_conv(input, weight, bias)
    check_places("boxes", boxes, input)
    images, channels, height, width = input.shape
    if weight.shape[1] != channels:
        raise ValueError(
            f"weight (O, C, K, K) must have the {channels} channels of the input "
            f"{tuple(input.shape)}; got shape {tuple(weight.shape)}."
        )
    if weight.shape[2] != weight.shape[3] or weight.shape[2] % 2 == 0:
        raise ValueError(
            f"weight (O, C, K, K) must have a square kernel of odd size; got shape "
            f"{tuple(weight.shape)}."
        )
    if boxes.shape != (images, height * width, 4):
        raise ValueError(
            f"boxes must have shape (N, H*W, 4) = {(images, height * width, 4)}, one box per cell "
            f"of the input {tuple(input.shape)}; got shape {tuple(boxes.shape)}."
        )
    check_stride(stride)
    check_mask(mask, input, (images, height, width))


def _adaptive_conv2d_fallback(
    input: Tensor,
    boxes: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    mask: Tensor | None,
    stride: float,
    center_offset: float,
) -> Tensor:
    input = _fallback.autocast(input)
    y, x = _fallback.box_positions(
        boxes.to(_fallback.compute_dtype(input.dtype)),
        height=input.shape[2],
        width=input.shape[3],
        kernel_size=weight.shape[-1],
        stride=stride,
        center_offset=center_offset,
    )
    return _fallback.sampled_conv2d(input, y, x, weight, bias, mask)


def _register() -> None:
    """Gives the compiled operator its shapes (for torch.compile) and its gradient."""

    @torch.library.register_fake("cascade_rpn_d2::adaptive_conv2d")
    def _(input, boxes, weight, bias, mask, stride, center_offset):
        output = input.new_empty(input.shape[0], weight.shape[0], *input.shape[2:])
        return output.contiguous(memory_format=_library.memory_format_of(input))

    @torch.library.register_fake("cascade_rpn_d2::adaptive_conv2d_backward")
    def _(grad_output, input, boxes, weight, mask, stride, center_offset, output_mask):
        return tuple(map(_library.empty_gradient, (input, weight), output_mask))

    def setup_context(ctx, inputs, output):
        input, boxes, weight, _, mask, ctx.stride, ctx.center_offset = inputs
        ctx.save_for_backward(input, boxes, weight, mask)

    def backward(ctx, grad_output):
        _library.forbid_forward_mode("adaptive_conv2d", grad_output)
        input, boxes, weight, mask = ctx.saved_tensors
        needs_input, _, needs_weight, needs_bias, *_ = ctx.needs_input_grad
        grad_input = grad_weight = None
        if needs_input or needs_weight:
            grad_input, grad_weight = torch.ops.cascade_rpn_d2.adaptive_conv2d_backward(
                grad_output,
                input,
                boxes,
                weight,
                mask,
                ctx.stride,
                ctx.center_offset,
                [needs_input, needs_weight],
            )
        grad_bias = _library.bias_gradient(grad_output, mask) if needs_bias else None
        return (
            grad_input if needs_input else None,
            None,
            grad_weight if needs_weight else None,
            grad_bias,
            None,
            None,
            None,
        )

    torch.library.register_autograd(
        "cascade_rpn_d2::adaptive_conv2d", backward, setup_context=setup_context
    )
    _library.forbid_double_backward("adaptive_conv2d")


if _library.is_compiled():
    _register()
