"""The adaptive convolution as an operator of torch: types, layouts, gradients, compilation."""

from __future__ import annotations

import math

import pytest
import torch
import torch.autograd.forward_ad as forward_ad

from cascade_rpn_d2.layers import AdaptiveConv2d, _library, adaptive_conv2d
from tests.layers.cell_boxes import random_boxes

compiled_only = pytest.mark.skipif(not _library.is_compiled(), reason="needs the compiled library")


@pytest.mark.usefixtures("implementation")
class TestTypesAndLayouts:
    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_low_precision_inputs_keep_exact_positions(self, dtype):
        # Beyond cell 256 float16 resolves a quarter of a cell; the boxes stay float32.
        x = torch.zeros(1, 1, 1, 400, dtype=dtype)
        x[..., 300] = 1
        boxes = torch.tensor([300.125 * 4, 0, 300.125 * 4, 0]).expand(1, 400, 4)
        output = adaptive_conv2d(x, boxes, torch.ones(1, 1, 1, 1, dtype=dtype), stride=4)
        assert output.dtype == dtype
        assert torch.equal(output, torch.full_like(output, 0.875))

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_low_precision_rounds_once(self, dtype):
        torch.manual_seed(0)
        x = torch.randn(2, 24, 9, 11).to(dtype).requires_grad_()
        weight = torch.randn(8, 24, 3, 3).to(dtype).requires_grad_()
        boxes = random_boxes(2, 9, 11, stride=4)
        wide = [t.detach().float().requires_grad_() for t in (x, weight)]
        output = adaptive_conv2d(x, boxes, weight, stride=4)
        expected = adaptive_conv2d(wide[0], boxes, wide[1], stride=4)
        one_rounding = {"rtol": torch.finfo(dtype).eps, "atol": 1e-4}
        torch.testing.assert_close(output.float(), expected, **one_rounding)
        gradient = torch.randn_like(output)
        for a, b in zip(
            torch.autograd.grad(output, (x, weight), gradient),
            torch.autograd.grad(expected, wide, gradient.float()),
            strict=True,
        ):
            assert a.dtype == dtype
            torch.testing.assert_close(a.float(), b, **one_rounding)

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_autocast_casts_the_map_but_not_the_boxes(self, dtype):
        torch.manual_seed(0)
        conv = AdaptiveConv2d(3, 4, bias=True)
        x = torch.randn(1, 3, 5, 6, requires_grad=True)
        boxes = random_boxes(1, 5, 6, stride=4)
        with torch.autocast("cpu", dtype=dtype):
            output = conv(x, boxes, 4)
        assert output.dtype == dtype
        expected = adaptive_conv2d(
            x.to(dtype), boxes, conv.weight.to(dtype), conv.bias.to(dtype), stride=4
        )
        assert torch.equal(output, expected)
        output.float().square().sum().backward()
        assert x.grad.dtype == conv.weight.grad.dtype == conv.bias.grad.dtype == torch.float32

    def test_channels_last_in_channels_last_out(self):
        x, weight = torch.randn(2, 3, 5, 7), torch.randn(4, 3, 3, 3)
        boxes = random_boxes(2, 5, 7, stride=4)
        plain = adaptive_conv2d(x, boxes, weight, stride=4)
        assert plain.is_contiguous()
        x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
        output = adaptive_conv2d(x, boxes, weight, stride=4)
        assert output.is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(output, plain)
        output.square().sum().backward()
        assert x.grad.is_contiguous(memory_format=torch.channels_last)

    def test_strided_views(self):
        x, weight = torch.randn(4, 6, 10, 7)[::2, 1::2, ::2], torch.randn(3, 3, 3, 4)[..., ::2]
        weight = torch.cat([weight, weight[..., :1]], -1)[..., [2, 1, 0]].flip(0)
        boxes = random_boxes(2, 5, 7, stride=4).expand(2, -1, -1).flip(0)
        torch.testing.assert_close(
            adaptive_conv2d(x, boxes, weight, stride=4),
            adaptive_conv2d(x.contiguous(), boxes.contiguous(), weight.contiguous(), stride=4),
        )

    def test_empty_batch(self):
        conv = AdaptiveConv2d(3, 4, bias=True)
        x = torch.zeros(0, 3, 5, 6, requires_grad=True)
        output = conv(x, torch.zeros(0, 30, 4), 4)
        assert output.shape == (0, 4, 5, 6)
        output.sum().backward()
        assert x.grad.shape == x.shape
        assert conv.weight.grad.abs().sum() == conv.bias.grad.abs().sum() == 0

    def test_boxes_get_no_gradient(self):
        x = torch.randn(1, 2, 3, 3, requires_grad=True)
        boxes = random_boxes(1, 3, 3, stride=4).requires_grad_()
        adaptive_conv2d(x, boxes, torch.randn(1, 2, 3, 3), stride=4).sum().backward()
        assert boxes.grad is None
        assert x.grad is not None

    def test_gradcheck(self):
        torch.manual_seed(0)
        x = torch.randn(2, 2, 3, 4, dtype=torch.double, requires_grad=True)
        weight = torch.randn(2, 2, 3, 3, dtype=torch.double, requires_grad=True)
        bias = torch.randn(2, dtype=torch.double, requires_grad=True)
        boxes = random_boxes(2, 3, 4, stride=4).double()
        boxes[0, 0] = math.nan
        assert torch.autograd.gradcheck(
            lambda *tensors: adaptive_conv2d(tensors[0], boxes, *tensors[1:], stride=4),
            (x, weight, bias),
        )


@compiled_only
class TestOperator:
    """What torch expects of an operator."""

    @pytest.mark.parametrize("channels_last", [False, True])
    def test_opcheck(self, channels_last):
        x = torch.randn(2, 3, 4, 5, requires_grad=True)
        if channels_last:
            x = x.detach().contiguous(memory_format=torch.channels_last).requires_grad_()
        weight = torch.randn(2, 3, 3, 3, requires_grad=True)
        bias = torch.randn(2, requires_grad=True)
        boxes = random_boxes(2, 4, 5, stride=4)
        ops = torch.ops.cascade_rpn_d2
        torch.library.opcheck(ops.adaptive_conv2d.default, (x, boxes, weight, bias, None, 4.0, 0.0))
        torch.library.opcheck(ops.adaptive_conv2d.default, (x, boxes, weight, None, None, 4.0, 0.5))
        grad = torch.randn(2, 2, 4, 5)
        for mask in ([True, True], [True, False], [False, True]):
            torch.library.opcheck(
                ops.adaptive_conv2d_backward.default,
                (grad, x.detach(), boxes, weight.detach(), None, 4.0, 0.0, mask),
            )

    @pytest.mark.parametrize(
        ("backend", "autocast"),
        [
            ("aot_eager", False),
            ("aot_eager", True),
            pytest.param("inductor", False, marks=pytest.mark.slow),
        ],
    )
    def test_compiles_whole(self, backend, autocast):
        torch._dynamo.reset()
        torch.manual_seed(0)
        conv = AdaptiveConv2d(3, 4, bias=True)
        x = torch.randn(1, 3, 5, 6)
        boxes = random_boxes(1, 5, 6, stride=4)

        def step(x):
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
                return torch.relu(conv(x * 2, boxes, 4)).float().square().sum()

        results = []
        for function in (step, torch.compile(step, fullgraph=True, backend=backend)):
            conv.zero_grad()
            leaf = x.clone().requires_grad_()
            loss = function(leaf)
            loss.backward()
            results.append((loss, leaf.grad, conv.weight.grad.clone(), conv.bias.grad.clone()))
        tolerance = {"atol": 1e-2, "rtol": 2e-2} if autocast else {"atol": 1e-6, "rtol": 1e-5}
        for eager, compiled in zip(*results, strict=True):
            torch.testing.assert_close(eager, compiled, **tolerance)

    def test_double_backward_is_refused(self):
        x = torch.randn(1, 2, 3, 3, requires_grad=True)
        output = adaptive_conv2d(x, torch.zeros(1, 9, 4), torch.randn(1, 2, 3, 3), stride=4)
        (grad,) = torch.autograd.grad(output.square().sum(), x, create_graph=True)
        with pytest.raises(NotImplementedError, match="second derivative"):
            grad.sum().backward()

    def test_gradients_refuse_derivatives_in_forward_mode(self):
        x = torch.randn(1, 2, 3, 3, requires_grad=True)
        output = adaptive_conv2d(x, torch.zeros(1, 9, 4), torch.randn(1, 2, 3, 3), stride=4)
        with forward_ad.dual_level():
            grad_output = forward_ad.make_dual(torch.ones_like(output), torch.ones_like(output))
            with pytest.raises(NotImplementedError, match="adaptive_conv2d have no forward-mode"):
                torch.autograd.grad(output, x, grad_output)

    def test_results_do_not_depend_on_the_number_of_threads(self):
        torch.manual_seed(0)
        x = torch.randn(2, 80, 15, 18, requires_grad=True)
        weight = torch.randn(8, 80, 3, 3, requires_grad=True)
        boxes = random_boxes(2, 15, 18, stride=4)
        before = torch.get_num_threads()
        results = []
        try:
            for threads in (1, 3, 3):
                torch.set_num_threads(threads)
                output = adaptive_conv2d(x, boxes, weight, stride=4)
                results.append((output, *torch.autograd.grad(output.sum(), (x, weight))))
        finally:
            torch.set_num_threads(before)
        for one, three, again in zip(*results, strict=True):
            torch.testing.assert_close(one, three, atol=1e-3, rtol=1e-4)
            assert torch.equal(three, again)

    def test_operator_itself_refuses_what_would_read_out_of_bounds(self):
        x, weight = torch.zeros(1, 2, 4, 4), torch.zeros(1, 2, 3, 3)
        op = torch.ops.cascade_rpn_d2.adaptive_conv2d
        for boxes in (torch.zeros(1, 15, 4), torch.zeros(1, 16, 3), torch.zeros(2, 16, 4)):
            with pytest.raises(RuntimeError, match="boxes must be"):
                op(x, boxes, weight, None, None, 4.0, 0.0)
        with pytest.raises(RuntimeError, match="bias must have"):
            op(x, torch.zeros(1, 16, 4), weight, torch.zeros(2), None, 4.0, 0.0)
