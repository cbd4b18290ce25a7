"""The CUDA kernels against those of the CPU, which other tests compare with a reference."""

from __future__ import annotations

import math

import pytest
import torch

from cascade_rpn_d2.layers import AdaptiveConv2d, _library, adaptive_conv2d, deform_conv2d

pytestmark = pytest.mark.gpu

TOLERANCES = {
    torch.float64: {"atol": 1e-9, "rtol": 1e-9},
    torch.float32: {"atol": 2e-3, "rtol": 1e-3},
    # Columns are rounded to the dtype of the map before they are multiplied.
    torch.float16: {"atol": 5e-2, "rtol": 1e-2},
    torch.bfloat16: {"atol": 4e-1, "rtol": 5e-2},
}


def wild_boxes(images: int, cells: int) -> torch.Tensor:
    """(N, cells, 4) boxes on and around a map of 4-pixel cells, degenerate ones among them."""
    centers, sides = torch.rand(images, cells, 2) * 60, torch.rand(images, cells, 2) * 40
    boxes = torch.cat([centers - sides / 2, centers + sides / 2], -1)
    boxes[0, 3], boxes[-1, 5], boxes[0, 7, 2], boxes[-1, 9] = math.nan, math.inf, 1e30, 17.0
    return boxes


def forward_and_gradients(function, leaves):
    leaves = [leaf.detach().clone().requires_grad_() for leaf in leaves]
    output = function(*leaves)
    gradient = torch.linspace(-1, 1, output.numel(), device=output.device).to(output.dtype)
    return output, *torch.autograd.grad(output, leaves, gradient.reshape(output.shape))


def assert_same(on_gpu, on_cpu, dtype):
    for a, b in zip(on_gpu, on_cpu, strict=True):
        assert a.dtype == b.dtype and a.is_cuda
        torch.testing.assert_close(a.cpu().double(), b.double(), **TOLERANCES[dtype])


@pytest.fixture(params=[False, True], ids=["atomic", "deterministic"], autouse=True)
def deterministic(request, monkeypatch):
    assert _library.has_kernel(torch.device("cuda"))
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(request.param)
    yield request.param
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("kernel_size", [1, 3, 5])
def test_adaptive_conv2d(dtype, channels_last, kernel_size):
    x = torch.randn(2, 37, 11, 13).to(dtype)
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last)
    leaves = (x, torch.randn(5, 37, kernel_size, kernel_size).to(dtype), torch.randn(5).to(dtype))
    boxes = wild_boxes(2, 11 * 13)

    def run(device):
        return forward_and_gradients(
            lambda x, w, b: adaptive_conv2d(x, boxes.to(device), w, b, stride=4),
            [leaf.to(device) for leaf in leaves],
        )

    on_gpu = run("cuda")
    assert_same(on_gpu, run("cpu"), dtype)
    if channels_last:
        assert on_gpu[0].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_output_can_be_changed_in_place(dtype, channels_last, masked):
    x = torch.randn(1, 16, 9, 7, device="cuda", dtype=dtype, requires_grad=True)
    weight = torch.randn(8, 16, 3, 3, device="cuda", dtype=dtype, requires_grad=True)
    boxes, mask = wild_boxes(1, 63).cuda(), third_of(1, 9, 7).cuda() if masked else None
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last)

    def gradients(relu):
        output = relu(adaptive_conv2d(x, boxes, weight, stride=4, mask=mask))
        return torch.autograd.grad(output.sum(), (x, weight))

    for a, b in zip(gradients(torch.relu_), gradients(torch.relu), strict=True):
        torch.testing.assert_close(a, b, **TOLERANCES[dtype])


@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize(("groups", "offset_groups"), [(1, 1), (2, 3), (3, 2), (6, 6)])
def test_deform_conv2d(dtype, groups, offset_groups):
    x, weight = torch.randn(2, 36, 11, 13), torch.randn(6, 36 // groups, 3, 2)
    offset = 3 * torch.randn(2, 2 * offset_groups * 6, 6, 14)
    offset[0, 0, 0, 0], offset[1, 1, 1, 1] = math.nan, 1e30
    leaves = (x.to(dtype), offset, weight.to(dtype))

    def run(device):
        return forward_and_gradients(
            lambda x, o, w: deform_conv2d(x, o, w, stride=(2, 1), padding=1),
            [leaf.to(device) for leaf in leaves],
        )

    assert_same(run("cuda"), run("cpu"), dtype)


def test_deterministic_gradients_repeat_bit_for_bit(deterministic):
    if not deterministic:
        pytest.skip("atomics add in any order")
    x, weight = torch.randn(2, 64, 40, 40, device="cuda"), torch.randn(64, 64, 3, 3, device="cuda")
    boxes = wild_boxes(2, 1600).cuda()  # they overlap: many samples fall on one pixel

    def run():
        return forward_and_gradients(
            lambda x, w: adaptive_conv2d(x, boxes, w, stride=4), (x, weight)
        )

    for a, b in zip(run(), run(), strict=True):
        assert torch.equal(a, b)


def test_many_tiles():
    # 130 * 150 cells of 9 * 256 columns in float32: six tiles of the workspace.
    x, weight = torch.randn(1, 256, 130, 150), torch.randn(4, 256, 3, 3)
    boxes = wild_boxes(1, 130 * 150)

    def run(device):
        return forward_and_gradients(
            lambda x, w: adaptive_conv2d(x, boxes.to(device), w, stride=0.5),
            (x.to(device), weight.to(device)),
        )

    for a, b in zip(run("cuda"), run("cpu"), strict=True):
        torch.testing.assert_close(a.cpu(), b, atol=2e-2, rtol=1e-3)


@pytest.fixture
def poisoned(deterministic, monkeypatch):
    """Allocations come filled with NaN, which torch does in deterministic mode."""
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    torch.use_deterministic_algorithms(True)


@pytest.fixture(params=["ieee", "tf32"])
def precision(request, monkeypatch):
    """How float32 is multiplied."""
    monkeypatch.setattr(torch.backends.cuda.matmul, "fp32_precision", request.param)
    return request.param


def third_of(*size: int) -> torch.Tensor:
    """A mask of a third of the cells, and none of the first row."""
    mask = torch.rand(size) < 0.33
    mask[0, 0] = False
    return mask


# Numbers of channels on both sides of what a fragment, a vector and a tile hold.
@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize(
    ("channels", "outputs"), [(64, 256), (64, 130), (16, 16), (8, 8), (24, 40), (33, 17), (12, 3)]
)
def test_sizes_of_tiles(dtype, channels, outputs, precision, poisoned):
    x = torch.randn(2, channels, 67, 59).to(dtype)
    weight = (torch.randn(outputs, channels, 3, 3) / math.sqrt(channels)).to(dtype)
    bias, boxes = torch.randn(outputs).to(dtype), wild_boxes(2, 67 * 59)
    expected = adaptive_conv2d(x, boxes, weight, bias, stride=1)
    arguments = [tensor.cuda() for tensor in (x, boxes, weight, bias)]
    output = adaptive_conv2d(*arguments, stride=1)
    tolerance = dict(TOLERANCES[dtype])
    if dtype == torch.float32 and precision == "tf32":
        tolerance = TOLERANCES[torch.float16]
    torch.testing.assert_close(output.cpu().double(), expected.double(), **tolerance)


@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("channels", [37, 64])
def test_mask_is_the_dense_result_zeroed(dtype, channels_last, channels, precision):
    x = torch.randn(2, channels, 11, 13).to(dtype)
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last)
    leaves = [
        tensor.cuda()
        for tensor in (x, torch.randn(24, channels, 3, 3).to(dtype), torch.randn(24).to(dtype))
    ]
    boxes, mask = wild_boxes(2, 143).cuda(), third_of(2, 11, 13).cuda()

    def dense(x, w, b):
        output = adaptive_conv2d(x, boxes, w, b, stride=4)
        return torch.where(mask[:, None], output, 0)

    def masked(x, w, b):
        return adaptive_conv2d(x, boxes, w, b, stride=4, mask=mask)

    tolerance = TOLERANCES[torch.float16] if dtype == torch.float32 else TOLERANCES[dtype]
    wanted, actual = forward_and_gradients(dense, leaves), forward_and_gradients(masked, leaves)
    for a, b in zip(actual, wanted, strict=True):
        torch.testing.assert_close(a, b, **tolerance)
    assert (actual[0].masked_select(~mask[:, None]) == 0).all()


@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize(("groups", "offset_groups"), [(1, 1), (2, 3), (3, 2), (6, 6)])
def test_masked_deform_conv2d(dtype, groups, offset_groups, poisoned):
    x, weight = torch.randn(2, 36, 11, 13), torch.randn(6, 36 // groups, 3, 2)
    offset = 3 * torch.randn(2, 2 * offset_groups * 6, 6, 14)
    mask = third_of(2, 6, 14)
    leaves = (x.to(dtype), offset, weight.to(dtype))

    def run(device):
        return forward_and_gradients(
            lambda x, o, w: deform_conv2d(x, o, w, stride=(2, 1), padding=1, mask=mask.to(device)),
            [leaf.to(device) for leaf in leaves],
        )

    assert_same(run("cuda"), run("cpu"), dtype)


def test_gradients_of_inactive_cells_are_not_read():
    x, weight = torch.randn(1, 16, 9, 7, device="cuda"), torch.randn(8, 16, 3, 3, device="cuda")
    boxes, mask = wild_boxes(1, 63).cuda(), third_of(1, 9, 7).cuda()
    leaves = [x.requires_grad_(), weight.requires_grad_()]
    output = adaptive_conv2d(x, boxes, weight, stride=4, mask=mask)
    gradient = torch.ones_like(output).masked_fill(~mask[:, None], math.nan)
    for computed in torch.autograd.grad(output, leaves, gradient):
        assert computed.isfinite().all()


@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
def test_masked_call_in_a_graph_waits_for_nothing(dtype, precision):
    x, weight = torch.randn(1, 64, 40, 40), torch.randn(64, 64, 3, 3)
    x, weight = x.to(dtype).cuda(), weight.to(dtype).cuda()
    boxes, mask = wild_boxes(1, 1600).cuda(), third_of(1, 40, 40).cuda()
    other = third_of(1, 40, 40).cuda()

    def run(mask):
        return adaptive_conv2d(x, boxes, weight, stride=4, mask=mask)

    first, second = run(mask), run(other)
    torch.cuda.set_sync_debug_mode("error")
    try:
        assert run(mask).shape == first.shape
    finally:
        torch.cuda.set_sync_debug_mode("default")
    graph, given = torch.cuda.CUDAGraph(), mask.clone()
    with torch.cuda.graph(graph):
        output = run(given)
    for choice, expected in ((mask, first), (other, second)):
        given.copy_(choice)
        graph.replay()
        assert torch.equal(output, expected)


@pytest.mark.parametrize("masked", [False, True])
def test_more_elements_than_32_bits_count(masked):
    needed = int(12e9)
    if torch.cuda.mem_get_info()[0] < needed:
        pytest.skip(f"needs {needed / 1e9:.0f} GB of free memory")
    channels, side = 1100, 1400  # 2.16e9 elements
    x = torch.zeros(1, side, side, channels, dtype=torch.half, device="cuda").permute(0, 3, 1, 2)
    x[:, :, -1] = 1
    centers = torch.full((1, side * side, 4), side - 1.0, device="cuda")
    weight = torch.ones(8, channels, 1, 1, dtype=torch.half, device="cuda")
    mask = torch.ones(1, side, side, dtype=torch.bool, device="cuda") if masked else None
    with torch.no_grad():
        output = adaptive_conv2d(x, centers, weight, stride=1, mask=mask)
    assert (output == channels).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast(dtype):
    conv = AdaptiveConv2d(8, 8, bias=True).cuda()
    x, boxes = torch.randn(1, 8, 11, 13, device="cuda"), wild_boxes(1, 143).cuda()
    with torch.autocast("cuda", dtype=dtype):
        output = conv(x, boxes, 4)
    expected = adaptive_conv2d(
        x.to(dtype), boxes, conv.weight.to(dtype), conv.bias.to(dtype), stride=4
    )
    assert torch.equal(output, expected)


def test_side_stream_and_graph():
    conv = AdaptiveConv2d(8, 8).cuda()
    x, boxes = torch.randn(1, 8, 11, 13, device="cuda"), wild_boxes(1, 143).cuda()
    expected = conv(x, boxes, 4).detach()
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream), torch.no_grad():
        assert torch.equal(conv(x, boxes, 4), expected)
    stream.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph), torch.no_grad():
        output = conv(x, boxes, 4)
    output.zero_()
    graph.replay()
    assert torch.equal(output, expected)


def test_empty_batch():
    conv = AdaptiveConv2d(3, 4, bias=True).cuda()
    x = torch.zeros(0, 3, 5, 6, device="cuda", requires_grad=True)
    output = conv(x, torch.zeros(0, 30, 4, device="cuda"), 4)
    assert output.shape == (0, 4, 5, 6)
    output.sum().backward()
    assert conv.weight.grad.abs().sum() == 0


def test_opcheck():
    x = torch.randn(2, 3, 4, 5, device="cuda", requires_grad=True)
    weight = torch.randn(2, 3, 3, 3, device="cuda", requires_grad=True)
    boxes = wild_boxes(2, 20).cuda()
    op = torch.ops.cascade_rpn_d2.adaptive_conv2d.default
    torch.library.opcheck(op, (x, boxes, weight, None, None, 4.0, 0.0))
    torch.library.opcheck(op, (x, boxes, weight, None, third_of(2, 4, 5).cuda(), 4.0, 0.0))
