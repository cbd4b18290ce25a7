"""Deformable bottleneck blocks: Detectron2's weights, their results, and no compiled part of it."""

from __future__ import annotations

import copy
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
import torchvision
from detectron2.layers import FrozenBatchNorm2d
from detectron2.modeling.backbone import BasicStem, ResNet
from torch import Tensor

from cascade_rpn_d2.modeling import DeformBottleneckBlock

OPTIONS = [
    pytest.param({}, id="plain"),
    pytest.param({"num_groups": 4, "stride": 2}, id="groups"),
    pytest.param({"num_groups": 2, "deform_num_groups": 4}, id="offset-groups"),
    pytest.param({"stride": 2, "stride_in_1x1": True, "dilation": 2}, id="dilation"),
]
modulation = pytest.mark.parametrize("modulated", [False, True], ids=["v1", "v2"])


def build(in_channels: int = 6, *, spread: float = 1.5, **options) -> DeformBottleneckBlock:
    """A block in float64 whose offsets, and modulation, differ from cell to cell."""
    block = DeformBottleneckBlock(in_channels, 12, bottleneck_channels=8, **options)
    for parameter in block.conv2_offset.parameters():
        torch.nn.init.normal_(parameter, std=spread / 3)
    return block.double()


@pytest.fixture
def theirs() -> type:
    """Detectron2's block, where its compiled part is there."""
    reason = "Detectron2's block needs its compiled part"
    pytest.importorskip("detectron2._C", reason=reason, exc_type=ImportError)
    from detectron2.modeling.backbone.resnet import DeformBottleneckBlock

    return DeformBottleneckBlock


def sampled(x: Tensor, y: Tensor, columns: Tensor) -> Tensor:
    """The maps (N, C, H, W) at rows and columns (N, Ho, Wo), bilinearly, zero outside."""
    height, width = x.shape[-2:]
    places = torch.stack((2 * columns / (width - 1) - 1, 2 * y / (height - 1) - 1), dim=-1)
    return F.grid_sample(x, places, align_corners=True)


def worked_conv(block: DeformBottleneckBlock, x: Tensor, places: Tensor) -> Tensor:
    """Sum over taps of weight * modulation * sample, as the papers define it."""
    conv = block.conv2
    stride, padding, dilation = conv.stride[0], conv.padding[0], conv.dilation[0]
    groups = places.shape[1] // (27 if block.deform_modulated else 18)
    offset = places[:, : 18 * groups].unflatten(1, (groups, 9, 2))
    weights = (
        places[:, 18 * groups :].sigmoid().unflatten(1, (groups, 9))
        if (block.deform_modulated)
        else torch.ones_like(offset[:, :, :, 0])
    )
    rows = stride * torch.arange(places.shape[2])[:, None] - padding
    columns = stride * torch.arange(places.shape[3]) - padding
    output: Tensor | float = 0.0
    for tap in range(9):
        samples = [
            weights[:, g, tap, None]
            * sampled(
                part,
                rows + tap // 3 * dilation + offset[:, g, tap, 0],
                columns + tap % 3 * dilation + offset[:, g, tap, 1],
            )
            for g, part in enumerate(x.chunk(groups, dim=1))
        ]
        weight = conv.weight[:, :, tap // 3, tap % 3, None, None]
        output = output + F.conv2d(torch.cat(samples, dim=1), weight, groups=conv.groups)
    return output


def worked_block(block: DeformBottleneckBlock, x: Tensor) -> Tensor:
    """The block, its deformable convolution computed tap by tap."""
    out = F.relu(block.conv1(x))
    out = worked_conv(block, out, block.conv2_offset(out))
    out = block.conv3(F.relu(block.conv2.norm(out)))
    return F.relu(out + (x if block.shortcut is None else block.shortcut(x)))


@modulation
@pytest.mark.parametrize("options", OPTIONS)
def test_results_and_gradients_are_those_of_the_definition(options: dict, modulated: bool):
    block = build(**options, deform_modulated=modulated)
    x = torch.randn(2, 6, 9, 11, dtype=torch.double, requires_grad=True)
    leaves = {"x": x, **dict(block.named_parameters())}
    ours, expected = block(x), worked_block(block, x)
    torch.testing.assert_close(ours, expected)
    gradient = torch.randn_like(expected)
    found = torch.autograd.grad(ours, list(leaves.values()), gradient)
    wanted = torch.autograd.grad(expected, list(leaves.values()), gradient)
    for name, a, b in zip(leaves, found, wanted, strict=True):
        torch.testing.assert_close(a, b, msg=lambda text, name=name: f"{name}: {text}")
    assert all(g.abs().max() > 0 for g in found)


@modulation
def test_float32_is_as_close_to_float64_as_rounding_allows(modulated: bool):
    double = build(num_groups=4, deform_modulated=modulated)
    single = copy.deepcopy(double).float()
    x = torch.randn(1, 6, 12, 14)
    torch.testing.assert_close(single(x), double(x.double()).float(), atol=1e-4, rtol=1e-4)


@modulation
def test_offsets_start_with_zero_and_samples_with_half_their_weight(modulated: bool):
    block = DeformBottleneckBlock(8, 8, bottleneck_channels=4, deform_modulated=modulated)
    assert not block.conv2_offset.weight.any() and not block.conv2_offset.bias.any()
    x = torch.randn(1, 8, 6, 7)
    out = F.relu(block.conv1(x))
    samples = F.conv2d(out, block.conv2.weight, padding=1) * (0.5 if modulated else 1.0)
    out = block.conv3(F.relu(block.conv2.norm(samples)))
    torch.testing.assert_close(block(x), F.relu(out + x))


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({}, (13, 10)),
        ({"stride": 2}, (7, 5)),
        ({"stride": 2, "stride_in_1x1": True}, (7, 5)),
        ({"dilation": 3}, (13, 10)),
    ],
)
@modulation
def test_shapes(options: dict, size: tuple[int, int], modulated: bool):
    block = build(**options, deform_modulated=modulated)
    assert block(torch.randn(2, 6, 13, 10, dtype=torch.double)).shape == (2, 12, *size)
    assert block.stride == options.get("stride", 1)
    assert tuple(block.conv1.stride) == ((2, 2) if options.get("stride_in_1x1") else (1, 1))


@modulation
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("in_channels", [6, 12])
def test_one_seed_gives_the_weights_of_detectron2s_block_in_its_order(
    theirs: type, in_channels: int, options: dict, modulated: bool
):
    blocks = []
    for kind in (DeformBottleneckBlock, theirs):
        torch.manual_seed(5)
        blocks.append(
            kind(in_channels, 12, bottleneck_channels=8, deform_modulated=modulated, **options)
        )
    ours, expected = (block.state_dict() for block in blocks)
    assert list(ours) == list(expected)
    for name, value in expected.items():
        assert torch.equal(ours[name], value), name
    parameters = [[name for name, _ in block.named_parameters()] for block in blocks]
    assert parameters[0] == parameters[1]


@pytest.mark.parametrize("options", [o for o in OPTIONS if o.id != "offset-groups"])
def test_detectron2s_weights_give_its_results(theirs: type, options: dict):
    # On a CPU it has neither a backward nor modulation nor groups of offsets.
    expected = theirs(6, 12, bottleneck_channels=8, **options)
    for parameter in expected.conv2_offset.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    ours = DeformBottleneckBlock(6, 12, bottleneck_channels=8, **options)
    ours.load_state_dict(expected.state_dict(), strict=True)
    x = torch.randn(2, 6, 9, 11)
    torch.testing.assert_close(ours(x), expected(x), atol=1e-4, rtol=1e-4)


@pytest.mark.gpu
@modulation
@pytest.mark.parametrize("options", OPTIONS)
def test_detectron2s_weights_give_its_results_and_gradients_on_a_gpu(
    theirs: type, options: dict, modulated: bool
):
    expected = theirs(6, 12, bottleneck_channels=8, deform_modulated=modulated, **options).cuda()
    for parameter in expected.conv2_offset.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    ours = DeformBottleneckBlock(
        6, 12, bottleneck_channels=8, deform_modulated=modulated, **options
    ).cuda()
    ours.load_state_dict(expected.state_dict(), strict=True)
    results = []
    for block in (ours, expected):
        x = torch.randn(2, 6, 9, 11, generator=torch.Generator().manual_seed(0)).cuda()
        leaves = [x.requires_grad_(), *block.parameters()]
        output = block(x)
        results.append((output, *torch.autograd.grad(output.square().sum(), leaves)))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-3)


def test_frozen_blocks_keep_weights_and_norms():
    block = build(num_groups=4).freeze()
    assert not any(p.requires_grad for p in block.parameters())
    norms = [m for m in block.modules() if isinstance(m, FrozenBatchNorm2d)]
    assert len(norms) == 4


@modulation
def test_mixed_precision(modulated: bool):
    block = build(num_groups=4, deform_modulated=modulated).float()
    x = torch.randn(1, 6, 10, 12, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = block(x)
    output.float().sum().backward()
    expected = block(x)
    assert (output - expected).norm() < 0.1 * expected.norm()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in block.parameters())


def test_without_modulation_torchvisions_operator_is_not_called(monkeypatch: pytest.MonkeyPatch):
    def refuse(*args, **kwargs):
        raise AssertionError("called")

    monkeypatch.setattr(torchvision.ops, "deform_conv2d", refuse)
    build()(torch.randn(1, 6, 8, 8, dtype=torch.double))
    with pytest.raises(AssertionError, match="called"):
        build(deform_modulated=True)(torch.randn(1, 6, 8, 8, dtype=torch.double))


def test_groups_that_do_not_divide_the_channels_are_refused():
    with pytest.raises(ValueError, match="divisible by groups"):
        build(num_groups=3)
    with pytest.raises(ValueError, match="divides the 8 channels"):
        build(deform_num_groups=3)(torch.randn(1, 6, 8, 8, dtype=torch.double))


def test_a_resnet_is_made_of_them_as_of_detectron2s():
    stage = ResNet.make_stage(
        DeformBottleneckBlock, 2, stride_per_block=[2, 1], in_channels=8, out_channels=16,
        bottleneck_channels=8, num_groups=4, norm="FrozenBN", deform_modulated=False,
        deform_num_groups=1,
    )  # fmt: skip
    trunk = ResNet(BasicStem(3, 8, norm="FrozenBN"), [stage], out_features=["res2"])
    assert trunk(torch.randn(1, 3, 64, 96))["res2"].shape == (1, 16, 8, 12)
    assert trunk.output_shape()["res2"].stride == 8


@pytest.mark.slow
def test_nothing_compiled_of_detectron2_is_needed(repository):
    code = "sys.modules['detectron2._C'] = None; sys.exit(pytest.main(sys.argv[1:]))"
    tests = ["tests/modeling/backbone/test_deform_resnet.py", "tests/model_zoo/test_experiments.py"]
    chosen = "deform and not compiled and not _ms_ and not authors"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys, pytest; {code}", "-v", "-k", chosen, *tests],
        cwd=repository,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert "Detectron2's block needs its compiled part" in done.stdout  # it was away indeed
    for test in ("test_results_and_gradients", "test_deformable_backbones_train_and_predict"):
        assert test in done.stdout
