"""What the adaptive convolution computes: worked examples, references, properties, messages."""

from __future__ import annotations

import math
import re

import pytest
import torch
import torch.nn.functional as F
import torchvision
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cascade_rpn_d2.layers import AdaptiveConv2d, adaptive_conv2d
from tests.layers.cell_boxes import anchors, random_boxes


def sampled_positions(box, stride: float, cell: tuple[int, int], o: float = 0.0):
    """Rows and columns where the op samples for one box, read off its own outputs.

    On maps that hold a row (or column) number, a one-hot weight returns the position of its tap;
    far from the border, which is why the map is shifted by a margin of whole cells.
    """
    margin, size = 16, 48
    rows = torch.arange(size, dtype=torch.double)[:, None].expand(size, size)
    maps = torch.stack([rows, rows.T, torch.ones(size, size, dtype=torch.double)])[None]
    boxes = torch.zeros(1, size * size, 4, dtype=torch.double)
    shift = margin * stride
    index = (cell[0] + margin) * size + cell[1] + margin
    boxes[0, index] = torch.tensor(box, dtype=torch.double) + shift
    weight = torch.zeros(27, 3, 3, 3, dtype=torch.double)
    for tap in range(9):
        for channel in range(3):
            weight[channel * 9 + tap, channel, tap // 3, tap % 3] = 1
    values = adaptive_conv2d(maps, boxes, weight, stride=stride, center_offset=o)
    rows, columns, ones = values.flatten(2)[0, :, index].reshape(3, 9)
    assert torch.equal(ones, torch.ones(9, dtype=torch.double))  # all taps inside the map
    return torch.stack([rows, columns], 1) - margin  # (9, 2)


@pytest.mark.usefixtures("implementation")
class TestWorkedExamples:
    """UT-1 to UT-5 of the fact sheet."""

    @pytest.mark.parametrize(
        ("box", "stride", "cell", "o", "rows", "columns"),
        [
            ((4, -4, 36, 28), 4, (3, 5), 0.0, (-1, 3, 7), (1, 5, 9)),  # UT-1
            ((6, -2, 38, 30), 4, (3, 5), 0.5, (-1, 3, 7), (1, 5, 9)),  # UT-1, half a cell further
            ((9, 2, 41, 34), 4, (3, 5), 0.0, (0.5, 4.5, 8.5), (2.25, 6.25, 10.25)),  # UT-2
            ((10, 6, 58, 30), 8, (2, 3), 0.0, (0.75, 2.25, 3.75), (1.25, 4.25, 7.25)),  # UT-3
        ],
    )
    def test_sampled_positions(self, box, stride, cell, o, rows, columns):
        expected = torch.cartesian_prod(torch.tensor(rows), torch.tensor(columns)).double()
        assert torch.equal(sampled_positions(box, stride, cell, o), expected)

    @pytest.mark.parametrize("o", [0.0, 0.5])
    def test_initial_anchors_are_dilation_4(
        self, o
    ):  # UT-4, and UT-5: o = 0.5 is the same operator
        torch.manual_seed(0)
        x, weight = torch.randn(2, 5, 13, 17), torch.randn(6, 5, 3, 3)
        boxes = anchors(2, 13, 17, stride=16, side=128, o=o)
        output = adaptive_conv2d(x, boxes, weight, stride=16, center_offset=o)
        torch.testing.assert_close(
            output, F.conv2d(x, weight, padding=4, dilation=4), atol=1e-4, rtol=0
        )

    def test_legacy_boxes_equal_continuous_boxes(self):  # UT-5
        x, weight = torch.randn(1, 3, 9, 9), torch.randn(2, 3, 3, 3)
        boxes = random_boxes(1, 9, 9, stride=8)
        torch.testing.assert_close(
            adaptive_conv2d(x, boxes + 4, weight, stride=8, center_offset=0.5),
            adaptive_conv2d(x, boxes, weight, stride=8),
            atol=1e-5,
            rtol=1e-4,
        )


@pytest.mark.usefixtures("implementation")
class TestAgainstOthers:
    def test_equals_torchvision_with_the_offsets_of_the_sheet(self):
        torch.manual_seed(0)
        images, height, width, stride = 2, 11, 13, 8.0
        x = torch.randn(images, 6, height, width, dtype=torch.double, requires_grad=True)
        weight = torch.randn(4, 6, 3, 3, dtype=torch.double, requires_grad=True)
        bias = torch.randn(4, dtype=torch.double, requires_grad=True)
        boxes = random_boxes(images, height, width, stride).double()

        x1, y1, x2, y2 = boxes.reshape(images, height, width, 4).unbind(-1)
        rows = torch.arange(height, dtype=torch.double)[:, None]
        columns = torch.arange(width, dtype=torch.double)
        offsets = []
        for ky in (-1, 0, 1):
            for kx in (-1, 0, 1):
                center_y, center_x = (y1 + y2) / (2 * stride), (x1 + x2) / (2 * stride)
                offsets.append((center_y - rows) + ky * ((y2 - y1) / stride / 2 - 1))
                offsets.append((center_x - columns) + kx * ((x2 - x1) / stride / 2 - 1))
        theirs = torchvision.ops.deform_conv2d(x, torch.stack(offsets, 1), weight, bias, padding=1)
        ours = adaptive_conv2d(x, boxes, weight, bias, stride=stride)
        torch.testing.assert_close(ours, theirs)

        gradient = torch.randn_like(theirs)
        inputs = (x, weight, bias)
        for a, b in zip(
            torch.autograd.grad(ours, inputs, gradient),
            torch.autograd.grad(theirs, inputs, gradient),
            strict=True,
        ):
            torch.testing.assert_close(a, b)

    # Cells and channels that are no multiple of a tile or a block, and more than one of each.
    @pytest.mark.parametrize("channels_last", [False, True])
    @pytest.mark.parametrize(
        ("images", "channels", "height", "width", "kernel_size"),
        [(1, 70, 13, 17, 3), (3, 1, 16, 8, 3), (2, 17, 1, 131, 5), (1, 300, 3, 3, 1)],
    )
    def test_equals_reference(
        self, reference, images, channels, height, width, kernel_size, channels_last
    ):
        torch.manual_seed(0)
        x = torch.randn(images, channels, height, width)
        if channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
        weight = torch.randn(5, channels, kernel_size, kernel_size)
        bias = torch.randn(5)
        boxes = random_boxes(images, height, width, stride=4)
        leaves = [t.requires_grad_() for t in (x, weight, bias)]
        output = adaptive_conv2d(x, boxes, weight, bias, stride=4)
        doubles = [t.detach().double().requires_grad_() for t in leaves]
        y_taps, x_taps = reference.box_taps(boxes, height, width, kernel_size, 4, 0.0)
        expected = reference.sampled_conv(doubles[0], y_taps, x_taps, *doubles[1:])
        torch.testing.assert_close(output.double(), expected, atol=1e-3, rtol=1e-4)

        gradient = torch.randn_like(output)
        ours = torch.autograd.grad(output, leaves, gradient)
        theirs = torch.autograd.grad(expected, doubles, gradient.double())
        for a, b in zip(ours, theirs, strict=True):
            torch.testing.assert_close(a.double(), b, atol=2e-3, rtol=1e-4)

    @pytest.mark.parametrize("masked", [False, True])
    def test_boxes_anywhere_on_a_channels_last_map(self, masked):
        # Cells far from their boxes are visited in another order, which must not show.
        torch.manual_seed(0)
        x = torch.randn(2, 20, 70, 30)
        weight, bias = torch.randn(3, 20, 3, 3), torch.randn(3)
        boxes = random_boxes(2, 70, 30, stride=4)[:, torch.randperm(2100)]
        boxes[0, 7], boxes[1, 9], boxes[0, 11] = math.nan, math.inf, -1e30
        mask = torch.rand(2, 70, 30) < 0.5 if masked else None
        expected = adaptive_conv2d(x, boxes, weight, bias, stride=4, mask=mask)
        output = adaptive_conv2d(
            x.contiguous(memory_format=torch.channels_last),
            boxes,
            weight,
            bias,
            stride=4,
            mask=mask,
        )
        torch.testing.assert_close(output.contiguous(), expected, atol=1e-4, rtol=1e-4)

    def test_strided_inputs(self):
        torch.manual_seed(0)
        boxes = random_boxes(2, 9, 11, stride=4)
        weight = torch.randn(5, 12, 3, 3)
        channels_last = torch.channels_last
        whole = torch.randn(2, 24, 9, 22)
        for x in (
            whole[:, 12:, :, ::2],
            whole.contiguous(memory_format=channels_last)[:, :12, :, :11],
            torch.randn(1, 12, 9, 11).expand(2, -1, -1, -1),
        ):
            expected = adaptive_conv2d(x.clone(), boxes, weight, stride=4)
            for w in (
                weight,
                weight.contiguous(memory_format=channels_last),
                weight.repeat(1, 2, 1, 1)[:, 12:],
            ):
                output = adaptive_conv2d(x, boxes, w, stride=4)
                torch.testing.assert_close(output, expected, atol=1e-4, rtol=1e-4)

    @pytest.mark.parametrize("channels_last", [False, True])
    @pytest.mark.parametrize("masked", [False, True])
    def test_one_output(self, reference, channels_last, masked):
        torch.manual_seed(0)
        x = torch.randn(2, 9, 13, 11)
        if channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
        weight = torch.randn(1, 9, 3, 3)
        boxes = random_boxes(2, 13, 11, stride=4)
        mask = torch.rand(2, 13, 11) < 0.6 if masked else None
        leaves = [t.requires_grad_() for t in (x, weight)]
        output = adaptive_conv2d(*[leaves[0], boxes, leaves[1]], stride=4, mask=mask)
        doubles = [t.detach().double().requires_grad_() for t in leaves]
        taps = reference.box_taps(boxes, 13, 11, 3, 4, 0.0)
        expected = reference.sampled_conv(doubles[0], *taps, doubles[1])
        if masked:
            expected = expected.masked_fill(~mask[:, None], 0)
        torch.testing.assert_close(output.double(), expected, atol=1e-4, rtol=1e-4)
        gradient = torch.randn_like(output)
        for a, b in zip(
            torch.autograd.grad(output, leaves, gradient),
            torch.autograd.grad(expected, doubles, gradient.double()),
            strict=True,
        ):
            torch.testing.assert_close(a.double(), b, atol=1e-3, rtol=1e-4)

    def test_map_turned_in_several_portions(self):
        torch.manual_seed(0)
        # 6.4 MB an image: one at a time, in two portions of its channels.
        x = torch.randn(2, 96, 128, 130)
        weight, bias = torch.randn(2, 96, 3, 3), torch.randn(2)
        boxes = random_boxes(2, 128, 130, stride=4)
        in_portions = adaptive_conv2d(x, boxes, weight, bias, stride=4)
        whole = adaptive_conv2d(
            x.contiguous(memory_format=torch.channels_last), boxes, weight, bias, stride=4
        )
        torch.testing.assert_close(in_portions, whole.contiguous(), atol=1e-3, rtol=1e-4)
        mask = torch.rand(2, 128, 130) < 0.5
        masked = adaptive_conv2d(x, boxes, weight, bias, stride=4, mask=mask)
        torch.testing.assert_close(
            masked, in_portions.masked_fill(~mask[:, None], 0), atol=1e-3, rtol=1e-4
        )
        low = adaptive_conv2d(x.half(), boxes, weight.half(), bias.half(), stride=4)
        torch.testing.assert_close(low.float(), in_portions, atol=2e-1, rtol=1e-2)
        plain = adaptive_conv2d(x, anchors(2, 128, 130, 4, 8), weight, bias, stride=4)
        torch.testing.assert_close(
            plain, F.conv2d(x, weight, bias, padding=1), atol=1e-3, rtol=1e-4
        )


KINDS = ("usual", "far", "point", "huge", "nan", "inf", "swapped")


@st.composite
def cases(draw):
    """Small problems with every kind of box among them."""
    images, height, width = (
        draw(st.integers(1, 2)),
        draw(st.integers(1, 7)),
        draw(st.integers(1, 7)),
    )
    stride = draw(st.sampled_from([1, 4, 7.5, 64]))
    seed = draw(st.integers(0, 2**16))
    boxes = random_boxes(images, height, width, stride, seed).double()
    for image in range(images):
        for cell in range(height * width):
            box = boxes[image, cell]
            kind = draw(st.sampled_from(KINDS))
            if kind == "far":
                box += draw(st.sampled_from([-1e4, 1e4, 1e9])) * stride
            elif kind == "point":
                box[2:] = box[:2]
            elif kind == "huge":
                box[:2] -= 1e18
                box[2:] += 1e18
            elif kind == "nan":
                box[draw(st.integers(0, 3))] = math.nan
            elif kind == "inf":
                box[draw(st.integers(0, 3))] = draw(st.sampled_from([-math.inf, math.inf]))
            elif kind == "swapped":
                box[:] = box[[2, 3, 0, 1]]
    return {
        "boxes": boxes,
        "size": (images, draw(st.integers(1, 5)), height, width),
        "out_channels": draw(st.integers(1, 4)),
        "kernel_size": draw(st.sampled_from([1, 3, 5])),
        "stride": stride,
        "o": draw(st.sampled_from([0.0, 0.5])),
        "channels_last": draw(st.booleans()),
        "seed": seed,
        "dtype": draw(st.sampled_from([torch.float32, torch.float64])),
    }


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(case=cases())
def test_any_boxes_give_the_reference_result(case, reference, implementation):
    torch.manual_seed(case["seed"])
    size, kernel_size = case["size"], case["kernel_size"]
    dtype = case["dtype"]
    x = torch.randn(size, dtype=dtype)
    if case["channels_last"]:
        x = x.contiguous(memory_format=torch.channels_last)
    x.requires_grad_()
    weight = torch.randn(case["out_channels"], size[1], kernel_size, kernel_size).to(dtype)
    weight.requires_grad_()
    boxes = case["boxes"].to(dtype)
    y_taps, x_taps = reference.box_taps(boxes, *size[2:], kernel_size, case["stride"], case["o"])
    expected = reference.sampled_conv(x, y_taps, x_taps, weight)
    output = adaptive_conv2d(x, boxes, weight, stride=case["stride"], center_offset=case["o"])
    tolerance = 1e-8 if dtype == torch.double else 2e-3
    torch.testing.assert_close(output.double(), expected, atol=tolerance, rtol=tolerance)
    gradient = torch.randn_like(output)
    for a, b in zip(
        torch.autograd.grad(output, (x, weight), gradient),
        torch.autograd.grad(expected, (x, weight), gradient.double()),
        strict=True,
    ):
        torch.testing.assert_close(a, b, atol=tolerance, rtol=tolerance)


@pytest.mark.usefixtures("implementation")
class TestDegenerateBoxes:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 3e38, -3e38, 1e9])
    def test_boxes_without_a_tap_inside_give_the_bias(self, value, dtype):
        x = torch.full((1, 3, 4, 4), math.inf, dtype=dtype)  # a wrong read would show
        x.requires_grad_()
        weight = torch.ones(2, 3, 3, 3, dtype=dtype, requires_grad=True)
        bias = torch.tensor([1.0, 2.0], dtype=dtype)
        boxes = torch.full((1, 16, 4), value)
        output = adaptive_conv2d(x, boxes, weight, bias, stride=4)
        assert torch.equal(output, bias[None, :, None, None].expand_as(output))
        output.sum().backward()
        assert torch.equal(x.grad, torch.zeros_like(x))
        assert torch.equal(weight.grad, torch.zeros_like(weight))

    def test_zero_size_box_samples_its_centre_nine_times(self):
        x = torch.arange(16.0).reshape(1, 1, 4, 4)
        boxes = torch.tensor([4.0, 8.0, 4.0, 8.0]).expand(1, 16, 4)  # row 2, column 1
        output = adaptive_conv2d(x, boxes, torch.ones(1, 1, 3, 3), stride=4)
        assert torch.equal(output, torch.full((1, 1, 4, 4), 9 * x[0, 0, 2, 1].item()))

    @pytest.mark.parametrize("position", [-1.0, 4.0])
    def test_border_is_exclusive(self, position):
        x = torch.ones(1, 1, 4, 4)
        weight = torch.ones(1, 1, 1, 1)

        def at(row: float) -> float:
            box = torch.tensor([4.0, row * 4, 4.0, row * 4]).expand(1, 16, 4)
            return adaptive_conv2d(x, box, weight, stride=4)[0, 0, 0, 0].item()

        assert at(position) == 0
        inward = 0.25 if position < 0 else -0.25
        assert at(position + inward) == pytest.approx(0.25)  # the outside neighbour counts as zero


class TestModule:
    def test_initialisation(self):
        torch.manual_seed(0)
        conv = AdaptiveConv2d(64, 64, bias=True)
        assert conv.weight.std().item() == pytest.approx(0.01, rel=0.02)
        assert conv.weight.mean().item() == pytest.approx(0, abs=2e-4)
        assert conv.bias.abs().max() == 0
        assert AdaptiveConv2d(2, 2).bias is None
        assert list(AdaptiveConv2d(2, 2).state_dict()) == ["weight"]
        assert "kernel_size=3" in repr(conv)

    def test_forward_is_the_function(self):
        conv = AdaptiveConv2d(3, 4, kernel_size=5)
        x, boxes = torch.randn(1, 3, 5, 6), random_boxes(1, 5, 6, stride=8)
        expected = adaptive_conv2d(x, boxes, conv.weight, stride=8, center_offset=0.5)
        assert torch.equal(conv(x, boxes, 8, 0.5), expected)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"boxes": torch.zeros(2, 29, 4)}, ValueError, ["boxes", "(2, 30, 4)", "(2, 29, 4)"]),
        ({"boxes": torch.zeros(30, 4)}, ValueError, ["(2, 30, 4)", "(30, 4)"]),
        ({"boxes": torch.zeros(2, 30, 4).long()}, TypeError, ["boxes", "int64", "(2, 30, 4)"]),
        ({"weight": torch.zeros(4, 3, 2, 2)}, ValueError, ["odd", "(4, 3, 2, 2)"]),
        ({"weight": torch.zeros(4, 3, 3, 5)}, ValueError, ["square", "(4, 3, 3, 5)"]),
        ({"weight": torch.zeros(4, 5, 3, 3)}, ValueError, ["3 channels", "(4, 5, 3, 3)"]),
        ({"weight": torch.zeros(4, 3, 3)}, ValueError, ["weight", "(4, 3, 3)"]),
        ({"weight": torch.zeros(4, 3, 3, 3).half()}, TypeError, ["weight", "float16", "float32"]),
        ({"bias": torch.zeros(3)}, ValueError, ["(4,)", "(3,)"]),
        ({"input": torch.zeros(3, 5, 6)}, ValueError, ["input", "(3, 5, 6)"]),
        ({"input": torch.zeros(2, 3, 0, 6)}, ValueError, ["non-empty", "(2, 3, 0, 6)"]),
        ({"input": torch.zeros(2, 3, 5, 6).int()}, TypeError, ["input", "int32"]),
        ({"stride": 0}, ValueError, ["stride", "positive", "got 0"]),
        ({"stride": -4}, ValueError, ["stride", "got -4"]),
        ({"stride": math.nan}, ValueError, ["stride", "got nan"]),
        ({"boxes": torch.zeros(2, 30, 4, device="meta")}, ValueError, ["boxes", "meta", "cpu"]),
    ],
)
def test_wrong_arguments_end_in_one_sentence(change, error, words):
    arguments = {
        "input": torch.zeros(2, 3, 5, 6),
        "boxes": torch.zeros(2, 30, 4),
        "weight": torch.zeros(4, 3, 3, 3),
        "bias": None,
        "stride": 4,
    }
    with pytest.raises(error) as caught:
        adaptive_conv2d(**{**arguments, **change})
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert message.endswith(".") and not re.search(r"\n", message)
