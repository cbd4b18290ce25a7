"""The pure-torch operators where kernels are at a loss: on devices without float64, such as
Apple's, and for derivatives in forward mode."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.autograd.forward_ad as forward_ad
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from cascade_rpn_d2.layers import (
    _library,
    adaptive_conv2d,
    decode_grid_boxes,
    deform_conv2d,
    encode_grid_points,
    iou_loss,
    soft_nms,
    sorted_nms,
)


class NoFloat64(TorchDispatchMode):
    """Refuses to compute with float64, on whichever device."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for value in tree_leaves((args, kwargs, result)):
            if isinstance(value, Tensor) and value.dtype == torch.float64:
                raise TypeError(f"{func} on a device without float64")
        return result


def boxes_of(count: int) -> Tensor:
    corner = torch.rand(count, 2) * 30
    return torch.cat((corner, corner + torch.rand(count, 2) * 30), dim=1)


def both_convolutions() -> None:
    x, boxes = torch.randn(2, 4, 5, 6, requires_grad=True), boxes_of(60).view(2, 30, 4)
    weight = torch.randn(3, 4, 3, 3, requires_grad=True)
    offset = torch.randn(2, 18, 5, 6, requires_grad=True)
    mask = torch.rand(2, 5, 6) < 0.5
    adaptive_conv2d(x, boxes, weight, stride=4, mask=mask).sum().backward()
    deform_conv2d(x, offset, weight, padding=1, mask=mask).sum().backward()


def both_suppressions() -> None:
    boxes, scores, groups = boxes_of(40), torch.rand(40), torch.randint(3, (40,))
    sorted_nms(boxes.view(2, 20, 4), torch.rand(2, 20) < 0.9, 0.3)
    soft_nms(boxes, scores, groups, method="linear", iou_threshold=0.3)
    soft_nms(boxes, scores, groups, method="gaussian")


def grid_points() -> None:
    boxes, objects = boxes_of(8), boxes_of(8)
    decode_grid_boxes(encode_grid_points(boxes, objects).requires_grad_(), boxes).sum().backward()


def losses() -> None:
    iou_loss(boxes_of(9).requires_grad_(), boxes_of(9), "log").sum().backward()


@pytest.mark.parametrize("compute", [both_convolutions, both_suppressions, grid_points, losses])
def test_nothing_is_computed_in_float64(compute: Callable[[], None], monkeypatch):
    monkeypatch.setattr(_library, "_kernel_devices", frozenset())
    monkeypatch.setattr(_library, "_warned", True)
    with NoFloat64():
        compute()


def test_the_mode_refuses_float64():
    with NoFloat64(), pytest.raises(TypeError, match="without float64"):
        torch.rand(3).double()


def convolve(*tensors: Tensor) -> Tensor:
    return deform_conv2d(*tensors, padding=1)


def convolve_on_boxes(x: Tensor, boxes: Tensor, *tensors: Tensor) -> Tensor:
    return adaptive_conv2d(x, boxes, *tensors, stride=4)


@pytest.mark.parametrize("function", [convolve, convolve_on_boxes])
def test_derivatives_in_forward_mode_are_those_of_finite_differences(function, implementation):
    places = torch.randn(2, 18, 5, 6) if function is convolve else boxes_of(60).view(2, 30, 4)
    values = [x.double() for x in (torch.randn(2, 4, 5, 6), places)]
    values += [torch.randn(3, 4, 3, 3).double(), torch.randn(3).double()]
    directions = [torch.randn_like(x) for x in values]
    if function is convolve_on_boxes:
        directions[1].zero_()  # boxes have no derivative
    output, found = torch.func.jvp(function, tuple(values), tuple(directions))
    torch.testing.assert_close(output, function(*values))
    ahead, behind = (
        function(*(x + step * d for x, d in zip(values, directions, strict=True)))
        for step in (1e-6, -1e-6)
    )
    torch.testing.assert_close(found, (ahead - behind) / 2e-6, rtol=1e-5, atol=1e-6)
    assert found.abs().max() > 0.1
    # Each of them alone carries it too.
    for index in (0, 2, 3):
        alone = [d if i == index else torch.zeros_like(d) for i, d in enumerate(directions)]
        with forward_ad.dual_level():
            given = [*values]
            given[index] = forward_ad.make_dual(values[index], directions[index])
            found = forward_ad.unpack_dual(function(*given)).tangent
        expected = torch.func.jvp(function, tuple(values), tuple(alone))[1]
        torch.testing.assert_close(found, expected)
