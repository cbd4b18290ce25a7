"""Sparse evaluation: both convolutions at the cells of a mask only."""

from __future__ import annotations

import re

import pytest
import torch

from cascade_rpn_d2.layers import (
    AdaptiveConv2d,
    DeformConv2d,
    _library,
    adaptive_conv2d,
    deform_conv2d,
)
from tests.layers.cell_boxes import random_boxes

compiled_only = pytest.mark.skipif(not _library.is_compiled(), reason="needs the compiled library")

# Shares of active cells; the second leaves one image of two without any.
SHARES = [(0.0, 0.0), (0.0, 0.4), (0.01, 0.02), (0.3, 0.7), (1.0, 1.0)]


def random_mask(shares, height: int, width: int) -> torch.Tensor:
    """(N, H, W) bool with that share of every image active."""
    return torch.stack([torch.rand(height, width) < share for share in shares])


@pytest.fixture
def poisoned():
    """Memory that is handed out uninitialised holds NaN."""
    torch.use_deterministic_algorithms(True)
    fills = torch.utils.deterministic.fill_uninitialized_memory
    torch.utils.deterministic.fill_uninitialized_memory = True
    yield
    torch.utils.deterministic.fill_uninitialized_memory = fills
    torch.use_deterministic_algorithms(False)


def adaptive_problem(dtype, channels_last):
    """A function of (map, weight, bias, mask), and its leaves."""
    boxes = random_boxes(2, 13, 17, stride=4)
    leaves = [torch.randn(2, 70, 13, 17), torch.randn(5, 70, 3, 3), torch.randn(5)]
    return (
        lambda x, weight, bias, mask: adaptive_conv2d(x, boxes, weight, bias, stride=4, mask=mask),
        (13, 17),
        prepared(leaves, dtype, channels_last),
    )


def deform_problem(dtype, channels_last):
    """A function of (map, offset, weight, bias, mask) of two groups, and its leaves."""
    leaves = [
        torch.randn(2, 40, 13, 17),
        2 * torch.randn(2, 4 * 18, 7, 9),
        torch.randn(6, 20, 3, 3),
        torch.randn(6),
    ]
    return (
        lambda x, offset, weight, bias, mask: deform_conv2d(
            x, offset, weight, bias, stride=2, padding=1, mask=mask
        ),
        (7, 9),
        prepared(leaves, dtype, channels_last),
    )


def prepared(leaves, dtype, channels_last):
    leaves = [leaf.to(dtype) for leaf in leaves]
    if channels_last:
        leaves[0] = leaves[0].contiguous(memory_format=torch.channels_last)
    return [leaf.requires_grad_() for leaf in leaves]


@pytest.mark.usefixtures("implementation", "poisoned")
@pytest.mark.parametrize("shares", SHARES)
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("problem", [adaptive_problem, deform_problem])
def test_equals_the_dense_result_at_active_cells(problem, dtype, channels_last, shares):
    torch.manual_seed(0)
    function, size, leaves = problem(dtype, channels_last)
    mask = random_mask(shares, *size)
    output = function(*leaves, mask)
    dense = function(*leaves, None)
    expected = dense.masked_fill(~mask[:, None], 0)
    tolerance = {"atol": 1e-3, "rtol": 1e-4 if dtype != torch.bfloat16 else 2e-2}
    torch.testing.assert_close(output, expected, **tolerance)
    assert output.stride() == dense.stride()
    assert (output.permute(0, 2, 3, 1)[~mask] == 0).all()

    gradient = torch.randn_like(dense)
    wanted = torch.autograd.grad(expected, leaves, gradient)
    # What comes back for inactive cells is not even read.
    gradient = gradient.masked_fill(~mask[:, None], torch.nan)
    for a, b in zip(torch.autograd.grad(output, leaves, gradient), wanted, strict=True):
        torch.testing.assert_close(a, b, atol=3e-3, rtol=tolerance["rtol"])


@pytest.mark.usefixtures("implementation")
def test_inactive_cells_do_not_touch_the_map():
    x = torch.full((1, 3, 6, 6), torch.inf, requires_grad=True)
    boxes = torch.tensor([8.0, 8.0, 12.0, 12.0]).expand(1, 36, 4)
    mask = torch.zeros(1, 6, 6, dtype=torch.bool)
    bias = torch.ones(2, requires_grad=True)
    weight = torch.ones(2, 3, 3, 3, requires_grad=True)
    output = adaptive_conv2d(x, boxes, weight, bias, stride=4, mask=mask)
    assert torch.equal(output, torch.zeros(1, 2, 6, 6))
    output.sum().backward()
    for leaf in (x, weight, bias):
        assert torch.equal(leaf.grad, torch.zeros_like(leaf))


def test_modules_hand_the_mask_on():
    x, mask = torch.randn(2, 3, 5, 6), random_mask((0.5, 0.5), 5, 6)
    adaptive, deform = AdaptiveConv2d(3, 4), DeformConv2d(3, 4, padding=1)
    boxes, offset = random_boxes(2, 5, 6, stride=8), torch.randn(2, 18, 5, 6)
    for conv, places in ((adaptive, (boxes, 8)), (deform, (offset,))):
        expected = conv(x, *places).masked_fill(~mask[:, None], 0)
        torch.testing.assert_close(conv(x, *places, mask=mask), expected)


@compiled_only
@pytest.mark.parametrize("op", ["adaptive_conv2d", "deform_conv2d"])
def test_opcheck(op):
    x, weight = torch.randn(2, 4, 4, 5, requires_grad=True), torch.randn(2, 4, 3, 3)
    weight.requires_grad_()
    mask = random_mask((0.4, 0.6), 4, 5)
    places = (random_boxes(2, 4, 5, stride=4), (4.0, 0.0))
    if op == "deform_conv2d":
        places = (torch.randn(2, 36, 4, 5), ([1, 1], [1, 1], [1, 1]))
    forward = getattr(torch.ops.cascade_rpn_d2, op).default
    torch.library.opcheck(forward, (x, places[0], weight, None, mask, *places[1]))


@compiled_only
def test_operator_itself_refuses_what_would_read_out_of_bounds():
    x, boxes, weight = torch.zeros(1, 2, 4, 4), torch.zeros(1, 16, 4), torch.zeros(1, 2, 3, 3)
    for mask in (torch.ones(1, 4, 4), torch.ones(1, 4, 5).bool(), torch.ones(16).bool()):
        with pytest.raises(RuntimeError, match="mask must be bool"):
            torch.ops.cascade_rpn_d2.adaptive_conv2d(x, boxes, weight, None, mask, 4.0, 0.0)


@pytest.mark.parametrize(
    ("mask", "error", "words"),
    [
        (torch.ones(2, 5, 6), TypeError, ["mask must be bool", "float32"]),
        (torch.ones(2, 6, 5).bool(), ValueError, ["(2, 5, 6)", "(2, 6, 5)"]),
        (torch.ones(2, 1, 5, 6).bool(), ValueError, ["(N, Ho, Wo)", "(2, 1, 5, 6)"]),
        (torch.ones(2, 5, 6, device="meta").bool(), ValueError, ["mask", "meta", "cpu"]),
    ],
)
def test_wrong_masks_end_in_one_sentence(mask, error, words):
    x, weight = torch.zeros(2, 3, 5, 6), torch.zeros(4, 3, 3, 3)
    for call in (
        lambda: adaptive_conv2d(x, torch.zeros(2, 30, 4), weight, stride=4, mask=mask),
        lambda: deform_conv2d(x, torch.zeros(2, 18, 5, 6), weight, padding=1, mask=mask),
    ):
        with pytest.raises(error) as caught:
            call()
        message = str(caught.value)
        assert all(word in message for word in words), message
        assert message.endswith(".") and not re.search(r"\n", message)
