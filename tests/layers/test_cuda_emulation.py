"""The CUDA sources, compiled as C++ and run on the CPU, against the reference.

Threads are emulated, so this finds mistakes of indexing, of padding and of waiting, but says
nothing of speed, nor of what only a GPU does: see cuda_emulation/cuda_runtime.h.
"""

from __future__ import annotations

import math
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from torch.utils import cpp_extension

from cascade_rpn_d2.layers import soft_nms, sorted_nms

pytestmark = pytest.mark.slow

DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
# Of the largest value: columns, and gradients between products, are rounded to the dtype.
TOLERANCES = {
    torch.float64: 1e-12,
    torch.float32: 2e-6,
    torch.float16: 3e-3,
    torch.bfloat16: 2e-2,
}
TF32_TOLERANCE = 2e-3
HOPPER, AMPERE, TURING = 9, 8, 7


@pytest.fixture(scope="module")
def emulated(tmp_path_factory):
    """torch.ops.emulated_cuda: the operators of ops.cpp on the emulated kernels."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("needs g++")
    folder = Path(__file__).parent / "cuda_emulation"
    library = tmp_path_factory.mktemp("emulation") / "emulated.so"
    command = [compiler, "-std=c++20", "-O1", "-fPIC", "-shared", f"-I{folder}"]
    for path in cpp_extension.include_paths():
        command += ["-isystem", path]
    command += [f"-D_GLIBCXX_USE_CXX11_ABI={int(torch.compiled_with_cxx11_abi())}"]
    command += [str(folder / "emulated.cpp"), "-o", str(library)]
    command += [f"-L{path}" for path in cpp_extension.library_paths()]
    command += ["-ltorch", "-ltorch_cpu", "-lc10"]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    torch.ops.load_library(library)
    return torch.ops.emulated_cuda


@pytest.fixture(params=["as it comes", "deterministic"])
def deterministic(request, monkeypatch) -> bool:
    """In deterministic mode torch fills what it allocates with NaN."""
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    torch.use_deterministic_algorithms(request.param == "deterministic")
    yield request.param == "deterministic"
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def tf32():
    before = torch.backends.cuda.matmul.fp32_precision
    torch.backends.cuda.matmul.fp32_precision = "tf32"
    yield
    torch.backends.cuda.matmul.fp32_precision = before


def random_mask(*size: int) -> torch.Tensor:
    """A third of the cells, and none of the first image's first row."""
    mask = torch.rand(size) < 0.33
    mask[0, 0] = False
    return mask


def leaf(*size: int, dtype: torch.dtype, channels_last: bool = False) -> torch.Tensor:
    values = torch.randn(size).to(dtype)
    return values.contiguous(memory_format=torch.channels_last) if channels_last else values


def assert_near(actual: torch.Tensor, expected: torch.Tensor, tolerance: float) -> None:
    assert actual.shape == expected.shape
    error = (actual.double() - expected).abs().max()
    assert error <= tolerance * max(1.0, expected.abs().max()), float(error)


def zero_outside(output: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    return output if mask is None else torch.where(mask[:, None], output, 0)


def check_boxes(emulated, reference, size, outputs, kernel, dtype, tolerance, **options):
    """The adaptive convolution and its gradients, one image's boxes partly degenerate."""
    channels_last, masked = options.get("channels_last", False), options.get("masked", False)
    images, channels, height, width = size
    x = leaf(*size, dtype=dtype, channels_last=channels_last)
    weight = leaf(outputs, channels, kernel, kernel, dtype=dtype) / math.sqrt(channels)
    bias = leaf(outputs, dtype=dtype)
    centers = torch.rand(images, height * width, 2) * 4 * max(height, width)
    sides = torch.rand(images, height * width, 2) * 30
    boxes = torch.cat([centers - sides / 2, centers + sides / 2], -1)
    boxes[0, 3, 0], boxes[0, 5, 1], boxes[-1, 7] = math.nan, math.inf, 1e30
    mask = random_mask(images, height, width) if masked else None

    leaves = [t.double().clone().requires_grad_() for t in (x, weight, bias)]
    y, x_taps = reference.box_taps(boxes, height, width, kernel, 4.0, 0.5)
    expected = zero_outside(reference.sampled_conv(leaves[0], y, x_taps, *leaves[1:]), mask)
    output = emulated.adaptive_conv2d(x, boxes, weight, bias, mask, 4.0, 0.5)
    assert output.dtype == dtype
    assert output.is_contiguous(
        memory_format=torch.channels_last if channels_last else torch.contiguous_format
    )
    assert not output._is_view()  # or autograd would not let it be changed in place
    assert_near(output.detach(), expected.detach(), tolerance)
    if mask is not None:
        assert (zero_outside(output, mask) == output).all()
    if not options.get("gradients", True):
        return

    grad_output = torch.randn(output.shape).to(dtype)
    wanted = torch.autograd.grad(expected, leaves[:2], grad_output.double())
    if mask is not None:
        grad_output.masked_fill_(~mask[:, None], math.nan)
    computed = emulated.adaptive_conv2d_backward(
        grad_output, x, boxes, weight, mask, 4.0, 0.5, [True, True]
    )
    for actual, gradient in zip(computed, wanted, strict=True):
        assert_near(actual, gradient, 4 * tolerance)


@pytest.mark.parametrize("masked", [False, True], ids=["dense", "masked"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_adaptive_conv2d(emulated, reference, deterministic, dtype, masked):
    emulated.set_device(HOPPER, 132)
    for channels_last in (False, True):
        for channels, outputs, kernel in ((40, 24, 3), (21, 5, 1)):
            check_boxes(
                emulated,
                reference,
                (2, channels, 7, 9),
                outputs,
                kernel,
                dtype,
                TOLERANCES[dtype],
                channels_last=channels_last,
                masked=masked,
            )


# Which tile the fused kernel takes depends on how many multiprocessors there are to keep busy.
@pytest.mark.parametrize("masked", [False, True], ids=["dense", "masked"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    ("multiprocessors", "outputs"), [(1, 160), (1, 72), (132, 72)], ids=["wide", "middle", "narrow"]
)
def test_tiles_of_tensor_cores(emulated, reference, tf32, dtype, multiprocessors, outputs, masked):
    emulated.set_device(HOPPER, multiprocessors)
    tolerance = max(TOLERANCES[dtype], TF32_TOLERANCE)
    for channels_last in (False, True):
        # The widest tile has 128 cells, and takes a mask to leave a quarter of them.
        height, width = (17, 16) if outputs == 160 else (9, 11)
        check_boxes(
            emulated,
            reference,
            (2, 72, height, width),
            outputs,
            3,
            dtype,
            tolerance,
            channels_last=channels_last,
            masked=masked,
            gradients=False,
        )


@pytest.mark.parametrize("architecture", [TURING, AMPERE])
@pytest.mark.parametrize("dtype", DTYPES[1:], ids=str)
def test_older_gpus(emulated, reference, tf32, dtype, architecture):
    emulated.set_device(architecture, 40)
    tolerance = max(TOLERANCES[dtype], TF32_TOLERANCE)
    for masked in (False, True):
        check_boxes(emulated, reference, (1, 40, 7, 9), 24, 3, dtype, tolerance, masked=masked)


@pytest.mark.parametrize("masked", [False, True], ids=["dense", "masked"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    ("channels", "groups", "offset_groups"), [(48, 1, 3), (48, 2, 3), (48, 3, 2), (6, 6, 6)]
)
def test_deform_conv2d(
    emulated, reference, deterministic, dtype, channels, groups, offset_groups, masked
):
    emulated.set_device(HOPPER, 132)
    stride, padding, dilation = [2, 1], [1, 1], [1, 2]
    kernel = (4, 3)  # more taps than the fused kernel places at once
    x = leaf(2, channels, 6, 7, dtype=dtype)
    weight = leaf(48, channels // groups, *kernel, dtype=dtype) / 8
    offset = 2 * torch.randn(2, 2 * offset_groups * 12, 3, 5)
    offset[0, 0, 0, 0], offset[1, 1, 1, 1] = math.nan, 1e30
    mask = random_mask(2, 3, 5) if masked else None
    leaves = [t.double().clone().requires_grad_() for t in (x, offset, weight)]
    y, x_taps = reference.offset_taps(leaves[1], kernel, stride, padding, dilation)
    expected = zero_outside(reference.sampled_conv(leaves[0], y, x_taps, leaves[2]), mask)

    geometry = (stride, padding, dilation)
    output = emulated.deform_conv2d(x, offset, weight, None, mask, *geometry)
    assert_near(output, expected.detach(), TOLERANCES[dtype])
    grad_output = torch.randn(output.shape).to(dtype)
    wanted = torch.autograd.grad(expected, leaves, grad_output.double())
    if mask is not None:
        grad_output.masked_fill_(~mask[:, None], math.nan)
    computed = emulated.deform_conv2d_backward(
        grad_output, x, offset, weight, mask, *geometry, [True, True, True]
    )
    # Offsets of float32 are what the reference has too, but it computes with them in float64.
    tolerance = max(8 * TOLERANCES[dtype], 1e-5)
    for actual, gradient in zip(computed, wanted, strict=True):
        assert_near(actual, torch.nan_to_num(gradient), tolerance)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("active", [0, 1, 63])
def test_few_active_cells(emulated, reference, deterministic, dtype, active):
    emulated.set_device(HOPPER, 132)
    x, weight = leaf(1, 16, 9, 7, dtype=dtype), leaf(8, 16, 3, 3, dtype=dtype)
    boxes = torch.rand(1, 63, 4) * 30
    mask = (torch.randperm(63) < active).view(1, 9, 7)
    dense = emulated.adaptive_conv2d(x, boxes, weight, None, None, 4.0, 0.0)
    masked = emulated.adaptive_conv2d(x, boxes, weight, None, mask, 4.0, 0.0)
    assert_near(masked, zero_outside(dense, mask).double(), TOLERANCES[dtype])


def test_a_map_whose_vectors_are_not_aligned(emulated, reference):
    emulated.set_device(HOPPER, 132)
    memory = torch.randn(1 + 5 * 7 * 16).half()
    x = memory[1:].view(1, 5, 7, 16).permute(0, 3, 1, 2)  # channels-last, two bytes off
    weight, boxes = leaf(8, 16, 3, 3, dtype=torch.half), torch.rand(1, 35, 4) * 25
    arguments = (boxes, weight, None, None, 4.0, 0.0)
    expected = emulated.adaptive_conv2d(x.clone(), *arguments)
    assert torch.equal(emulated.adaptive_conv2d(x, *arguments), expected)


@pytest.mark.parametrize("dtype", DTYPES[:2], ids=str)
@pytest.mark.parametrize("count", [1, 64, 65, 200])
def test_sorted_nms(emulated, deterministic, dtype, count):
    corner, side = torch.randint(0, 12, (3, count, 2)), torch.randint(0, 10, (3, count, 2))
    boxes, valid = torch.cat([corner, corner + side], -1).to(dtype), torch.rand(3, count) < 0.8
    for threshold in (0.25, 0.5, 0.8):
        keep = emulated.sorted_nms(boxes, valid, threshold)
        assert torch.equal(keep, sorted_nms(boxes, valid, threshold))


# The last has more boxes in a group than a block has threads, but few to take.
@pytest.mark.parametrize("dtype", DTYPES[:2], ids=str)
@pytest.mark.parametrize(
    ("count", "names", "scored", "min_score"),
    [(0, 1, 1.0, 0.0), (1, 1, 1.0, 0.0), (70, 9, 1.0, 0.0), (1100, 1, 0.02, 0.1)],
)
def test_soft_nms(emulated, deterministic, dtype, count, names, scored, min_score):
    corner, side = torch.randint(0, 12, (count, 2)), torch.randint(0, 10, (count, 2))
    boxes = torch.cat([corner, corner + side], -1).to(dtype)
    scores = torch.randint(1, 9, (count,)).to(dtype) / 8  # many are equal
    scores[::23], scores[::19], boxes[::17, 1] = math.nan, math.inf, math.nan
    scores.masked_fill_(torch.rand(count) >= scored, 0)
    groups = torch.randint(-2, names - 2, (count,))
    for method in ("linear", "gaussian"):
        gaussian = method == "gaussian"
        decayed = emulated.soft_nms(boxes, scores, groups, gaussian, 0.5, 0.5, min_score)
        expected = soft_nms(boxes, scores, groups, method=method, min_score=min_score)
        assert torch.equal(decayed, expected)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_an_infinite_weight_stays_with_its_output(emulated, dtype):
    emulated.set_device(HOPPER, 132)
    x, weight = leaf(1, 12, 5, 7, dtype=dtype), leaf(9, 12, 3, 3, dtype=dtype)
    weight[0] = math.inf  # what is padded must not meet it: zero times infinity is NaN
    boxes, mask = torch.rand(1, 35, 4) * 20, torch.ones(1, 5, 7, dtype=torch.bool)
    output = emulated.adaptive_conv2d(x, boxes, weight, None, mask, 4.0, 0.0)
    assert output[:, 1:].isfinite().all()
