from __future__ import annotations

import math
import re

import pytest
import torch
import torch.nn.functional as F
import torchvision
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cascade_rpn_d2.layers import DeformConv2d, _library, deform_conv2d

compiled_only = pytest.mark.skipif(not _library.is_compiled(), reason="needs the compiled library")


def offsets_for(input, weight, groups: int, scale: float, **geometry):
    """Random offsets (N, 2*G*Kh*Kw, Ho, Wo) of a convolution."""
    channel_groups = input.shape[1] // weight.shape[1]
    size = F.conv2d(input, weight, groups=channel_groups, **geometry).shape
    taps = weight.shape[2] * weight.shape[3]
    shape = (size[0], 2 * groups * taps, *size[2:])
    return scale * torch.randn(shape, dtype=input.dtype)


GEOMETRIES = [
    {"kernel": (3, 3), "groups": 1, "offset_groups": 1, "padding": 1},
    {"kernel": (3, 3), "groups": 2, "offset_groups": 4, "padding": 2, "dilation": 2},
    {"kernel": (3, 3), "groups": 4, "offset_groups": 2, "stride": 2},
    {"kernel": (2, 4), "groups": 1, "offset_groups": 8, "stride": (1, 2), "padding": (0, 3)},
    {"kernel": (1, 1), "groups": 8, "offset_groups": 1},
    {"kernel": (5, 3), "groups": 8, "offset_groups": 8, "padding": (2, 1), "dilation": (1, 2)},
]


@pytest.mark.usefixtures("implementation")
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=lambda g: f"{g['kernel']}")
def test_equals_torchvision(geometry, channels_last):
    geometry = dict(geometry)
    kernel, groups = geometry.pop("kernel"), geometry.pop("groups")
    offset_groups = geometry.pop("offset_groups")
    x = torch.randn(2, 16, 14, 15, dtype=torch.double)
    weight = torch.randn(8, 16 // groups, *kernel, dtype=torch.double)
    bias = torch.randn(8, dtype=torch.double)
    offset = offsets_for(x, weight, offset_groups, scale=3.0, **geometry)
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last)
    inputs = [t.requires_grad_() for t in (x, offset, weight, bias)]
    ours = deform_conv2d(*inputs, **geometry)
    theirs = torchvision.ops.deform_conv2d(*inputs, **geometry)
    torch.testing.assert_close(ours, theirs)
    gradient = torch.randn_like(theirs)
    for a, b in zip(
        torch.autograd.grad(ours, inputs, gradient),
        torch.autograd.grad(theirs, inputs, gradient),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


@pytest.mark.usefixtures("implementation")
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("offset_groups", [1, 2])
def test_many_tiles_and_blocks(reference, offset_groups, channels_last):
    x = torch.randn(2, 150, 13, 17)
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last)
    weight = torch.randn(7, 150, 3, 3)
    offset = offsets_for(x, weight, offset_groups, scale=2.0, padding=1)
    leaves = [t.requires_grad_() for t in (x, offset, weight)]
    output = deform_conv2d(*leaves, padding=1)
    doubles = [t.detach().double().requires_grad_() for t in leaves]
    taps = reference.offset_taps(doubles[1], (3, 3), (1, 1), (1, 1), (1, 1))
    expected = reference.sampled_conv(doubles[0], *taps, doubles[2])
    torch.testing.assert_close(output.double(), expected, atol=1e-3, rtol=1e-4)
    gradient = torch.randn_like(output)
    for a, b in zip(
        torch.autograd.grad(output, leaves, gradient),
        torch.autograd.grad(expected, doubles, gradient.double()),
        strict=True,
    ):
        torch.testing.assert_close(a.double(), b, atol=3e-3, rtol=1e-3)


def test_groups_that_begin_inside_a_portion_of_channels():
    # 2 MB a group of channels: two groups of the weight and three of offsets over several portions.
    torch.manual_seed(0)
    x = torch.randn(1, 120, 140, 150)
    weight, bias = torch.randn(4, 60, 3, 3), torch.randn(4)
    offset = offsets_for(x, weight, 3, scale=2.0, padding=1)
    in_portions = deform_conv2d(x, offset, weight, bias, padding=1)
    whole = deform_conv2d(
        x.contiguous(memory_format=torch.channels_last), offset, weight, bias, padding=1
    )
    torch.testing.assert_close(in_portions, whole.contiguous(), atol=1e-3, rtol=1e-4)


@st.composite
def cases(draw):
    """Small problems of any geometry, with offsets of every kind among them."""
    kernel = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    pairs = {
        "stride": (draw(st.integers(1, 3)), draw(st.integers(1, 3))),
        "padding": (draw(st.integers(0, 3)), draw(st.integers(0, 3))),
        "dilation": (draw(st.integers(1, 2)), draw(st.integers(1, 2))),
    }
    spans = [pairs["dilation"][i] * (kernel[i] - 1) + 1 for i in (0, 1)]
    least = [max(1, spans[i] - 2 * pairs["padding"][i]) for i in (0, 1)]
    size = [draw(st.integers(least[i], least[i] + 4)) for i in (0, 1)]
    groups, offset_groups = draw(st.sampled_from([(1, 1), (2, 1), (1, 2), (2, 2), (3, 2), (2, 6)]))
    return {
        "x": (draw(st.integers(1, 2)), 6, *size),
        "weight": (groups * draw(st.integers(1, 2)), 6 // groups, *kernel),
        "offset_groups": offset_groups,
        "pairs": pairs,
        "wild": draw(
            st.lists(st.sampled_from([math.nan, math.inf, -math.inf, 1e30, -1e30, 1e5]), max_size=9)
        ),
        "seed": draw(st.integers(0, 2**16)),
    }


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(case=cases())
def test_any_offsets_give_the_reference_result(case, reference, implementation):
    torch.manual_seed(case["seed"])
    x, weight = torch.randn(case["x"]).double(), torch.randn(case["weight"]).double()
    offset = offsets_for(x, weight, case["offset_groups"], scale=2.0, **case["pairs"])
    for value in case["wild"]:
        offset.view(-1)[torch.randint(offset.numel(), ())] = value
    inputs = [t.requires_grad_() for t in (x, offset, weight)]
    pairs = case["pairs"]
    taps = reference.offset_taps(
        offset, case["weight"][2:], pairs["stride"], pairs["padding"], pairs["dilation"]
    )
    expected = reference.sampled_conv(x, *taps, weight)
    output = deform_conv2d(*inputs, **pairs)
    torch.testing.assert_close(output, expected, atol=1e-8, rtol=1e-8)
    gradient = torch.randn_like(expected)
    for a, b in zip(
        torch.autograd.grad(output, inputs, gradient),
        torch.autograd.grad(expected, inputs, gradient),
        strict=True,
    ):
        assert torch.isfinite(a).all()
        torch.testing.assert_close(a, b, atol=1e-8, rtol=1e-8)


@pytest.mark.usefixtures("implementation")
@compiled_only
def test_a_side_beyond_the_whole_numbers_of_float32():
    """Above 2**24 a float32 may round the last row up to the number of rows: cells far from where
    they sample, which are visited by place, must not be counted behind the last one."""
    height = 2**24 + 8
    x = torch.zeros(1, 2, height, 1).contiguous(memory_format=torch.channels_last)
    x[0, 0, 2**24] = 3.0
    offset = torch.zeros(1, 2, height // 2**17 + 1, 1)
    rows = torch.arange(offset.shape[2]) * 2.0**17
    offset[0, 0, :, 0] = 2.0**24 - rows  # the row of the 3, which float32 has
    offset[0, 0, ::2, 0] = 1e9  # beyond the map
    output = deform_conv2d(x, offset, torch.ones(1, 2, 1, 1), stride=(2**17, 1))
    expected = torch.full_like(output, 3.0)
    expected[0, 0, ::2] = 0.0
    assert torch.equal(output, expected)


class TestTypesAndLayouts:
    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    @pytest.mark.parametrize("offset_dtype", [torch.float32, None])
    def test_low_precision(self, dtype, offset_dtype):
        x = torch.randn(2, 8, 6, 7).to(dtype).requires_grad_()
        weight = torch.randn(4, 8, 3, 3).to(dtype).requires_grad_()
        offset = torch.randn(2, 18, 6, 7).to(offset_dtype or dtype).requires_grad_()
        leaves = (x, offset, weight)
        wide = [t.detach().float().requires_grad_() for t in leaves]
        output = deform_conv2d(*leaves, padding=1)
        expected = deform_conv2d(*wide, padding=1)
        one_rounding = {"rtol": torch.finfo(dtype).eps, "atol": 1e-4}
        assert output.dtype == dtype
        torch.testing.assert_close(output.float(), expected, **one_rounding)
        gradient = torch.randn_like(output)
        for leaf, a, b in zip(
            leaves,
            torch.autograd.grad(output, leaves, gradient),
            torch.autograd.grad(expected, wide, gradient.float()),
            strict=True,
        ):
            assert a.dtype == leaf.dtype
            torch.testing.assert_close(a.float(), b, **one_rounding)

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_autocast_casts_the_map_but_not_the_offsets(self, dtype):
        conv = DeformConv2d(3, 4, padding=1, bias=True)
        x, offset = torch.randn(1, 3, 5, 6), torch.randn(1, 18, 5, 6, requires_grad=True)
        with torch.autocast("cpu", dtype=dtype):
            output = conv(x, offset)
        expected = deform_conv2d(
            x.to(dtype), offset, conv.weight.to(dtype), conv.bias.to(dtype), padding=1
        )
        assert torch.equal(output, expected)
        output.float().square().sum().backward()
        assert offset.grad.dtype == conv.weight.grad.dtype == torch.float32

    def test_channels_last_in_channels_last_out(self):
        x, weight = torch.randn(2, 3, 5, 7), torch.randn(4, 3, 3, 3)
        offset = torch.randn(2, 18, 3, 4)
        plain = deform_conv2d(x, offset, weight, stride=2, padding=1)
        assert plain.is_contiguous()
        output = deform_conv2d(
            x.contiguous(memory_format=torch.channels_last),
            offset.contiguous(memory_format=torch.channels_last),
            weight.contiguous(memory_format=torch.channels_last),
            stride=2,
            padding=1,
        )
        assert output.is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(output, plain)

    def test_empty_batch(self):
        conv = DeformConv2d(4, 6, bias=True)
        x = torch.zeros(0, 4, 5, 6, requires_grad=True)
        offset = torch.zeros(0, 36, 3, 4, requires_grad=True)
        output = conv(x, offset)
        assert output.shape == (0, 6, 3, 4)
        output.sum().backward()
        assert x.grad.shape == x.shape and offset.grad.shape == offset.shape
        assert conv.weight.grad.abs().sum() == conv.bias.grad.abs().sum() == 0

    def test_gradcheck(self):
        x = torch.randn(2, 4, 2, 3, dtype=torch.double, requires_grad=True)
        weight = torch.randn(2, 2, 2, 2, dtype=torch.double, requires_grad=True)
        bias = torch.randn(2, dtype=torch.double, requires_grad=True)
        offset = 1.5 * torch.randn(2, 16, 3, 4, dtype=torch.double)
        # Off the kinks of bilinear sampling, where there is no derivative to compare with.
        offset = offset.floor() + 0.1 + 0.8 * (offset - offset.floor())
        offset[0, :2] = 1e6
        offset.requires_grad_()
        assert torch.autograd.gradcheck(
            lambda *tensors: deform_conv2d(*tensors, padding=1), (x, offset, weight, bias)
        )

    def test_gradients_only_where_needed(self):
        x, weight = torch.randn(1, 2, 4, 4), torch.randn(1, 2, 3, 3)
        offset = torch.randn(1, 18, 4, 4)
        everything = [t.clone().requires_grad_() for t in (x, offset, weight)]
        wanted = torch.autograd.grad(deform_conv2d(*everything, padding=1).sum(), everything)
        for i in range(3):
            inputs = [x, offset, weight]
            inputs[i] = inputs[i].clone().requires_grad_()
            deform_conv2d(*inputs, padding=1).sum().backward()
            torch.testing.assert_close(inputs[i].grad, wanted[i])
            assert all(t.grad is None for j, t in enumerate(inputs) if j != i)


class TestModule:
    def test_zero_offsets_are_a_convolution(self):
        conv = DeformConv2d(
            3, 4, kernel_size=(3, 5), stride=2, padding=(1, 2), dilation=1, bias=True
        )
        x = torch.randn(2, 3, 9, 8)
        expected = F.conv2d(x, conv.weight, conv.bias, stride=2, padding=(1, 2))
        output = conv(x, torch.zeros(2, 30, *expected.shape[2:]))
        torch.testing.assert_close(output, expected, atol=1e-6, rtol=1e-5)
        assert "padding=(1, 2)" in repr(conv)

    def test_initialisation(self):
        conv = DeformConv2d(64, 64, bias=True)
        assert conv.weight.std().item() == pytest.approx(0.01, rel=0.02)
        assert conv.bias.abs().max() == 0
        assert list(DeformConv2d(2, 2).state_dict()) == ["weight"]

    def test_takes_any_sequence(self):
        from omegaconf import OmegaConf

        conv = DeformConv2d(2, 2, padding=OmegaConf.create([1, 2]))
        assert conv.padding == (1, 2)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (
            {"offset": torch.zeros(2, 18, 5, 5)},
            ValueError,
            ["offset", "G*18, 3, 4)", "(2, 18, 5, 5)"],
        ),
        ({"offset": torch.zeros(2, 17, 3, 4)}, ValueError, ["18 channels", "(2, 17, 3, 4)"]),
        ({"offset": torch.zeros(2, 54, 3, 4)}, ValueError, ["divides the 4", "(2, 54, 3, 4)"]),
        ({"offset": torch.zeros(2, 18, 3, 4).int()}, TypeError, ["offset", "int32"]),
        ({"weight": torch.zeros(4, 3, 3, 3)}, ValueError, ["4 channels", "(4, 3, 3, 3)"]),
        ({"weight": torch.zeros(3, 2, 3, 3)}, ValueError, ["equal groups", "(3, 2, 3, 3)"]),
        ({"weight": torch.zeros(4, 8, 3, 3)}, ValueError, ["(4, 8, 3, 3)"]),
        ({"weight": torch.zeros(4, 4, 9, 3)}, ValueError, ["large enough", "(9, 3)"]),
        ({"bias": torch.zeros(3)}, ValueError, ["(4,)", "(3,)"]),
        ({"stride": 0}, ValueError, ["stride", "at least 1", "0"]),
        ({"padding": (0, -1)}, ValueError, ["padding", "at least 0", "-1"]),
        ({"dilation": (1, 1, 1)}, ValueError, ["dilation", "one or two", "(1, 1, 1)"]),
    ],
)
def test_wrong_arguments_end_in_one_sentence(change, error, words):
    arguments = {
        "input": torch.zeros(2, 4, 5, 6),
        "offset": torch.zeros(2, 18, 3, 4),
        "weight": torch.zeros(4, 4, 3, 3),
    }
    with pytest.raises(error) as caught:
        deform_conv2d(**{**arguments, **change})
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert message.endswith(".") and not re.search(r"\n", message)


@compiled_only
class TestOperator:
    """What torch expects of an operator."""

    def test_opcheck(self):
        x = torch.randn(2, 4, 4, 5, requires_grad=True)
        weight = torch.randn(2, 2, 3, 3, requires_grad=True)
        bias = torch.randn(2, requires_grad=True)
        offset = torch.randn(2, 36, 4, 5, requires_grad=True)
        geometry = ([1, 1], [1, 1], [1, 1])
        ops = torch.ops.cascade_rpn_d2
        torch.library.opcheck(ops.deform_conv2d.default, (x, offset, weight, bias, None, *geometry))
        tensors = [t.detach() for t in (torch.randn(2, 2, 4, 5), x, offset, weight)]
        for mask in ([True, True, True], [True, False, False], [False, True, False]):
            torch.library.opcheck(
                ops.deform_conv2d_backward.default, (*tensors, None, *geometry, mask)
            )

    def test_compiles_whole(self):
        torch._dynamo.reset()
        conv = DeformConv2d(3, 4, stride=2, padding=1, bias=True)
        x = torch.randn(1, 3, 5, 6)
        offset = torch.randn(1, 18, 3, 3)

        def step(x, offset):
            return torch.relu(conv(x * 2, offset)).square().sum()

        results = []
        for function in (step, torch.compile(step, fullgraph=True, backend="aot_eager")):
            leaves = [x.clone().requires_grad_(), offset.clone().requires_grad_()]
            loss = function(*leaves)
            results.append((loss, *torch.autograd.grad(loss, [*leaves, conv.weight, conv.bias])))
        for eager, compiled in zip(*results, strict=True):
            torch.testing.assert_close(eager, compiled)

    def test_operator_itself_refuses_what_would_read_out_of_bounds(self):
        x, weight = torch.zeros(1, 2, 4, 4), torch.zeros(1, 2, 3, 3)
        op = torch.ops.cascade_rpn_d2.deform_conv2d
        for offset in (
            torch.zeros(1, 18, 4, 3),
            torch.zeros(1, 17, 4, 4),
            torch.zeros(2, 18, 4, 4),
        ):
            with pytest.raises(RuntimeError, match="offset must"):
                op(x, offset, weight, None, None, [1, 1], [1, 1], [1, 1])
