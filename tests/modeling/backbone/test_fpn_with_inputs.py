"""The maps before an FPN beside those after it."""

from __future__ import annotations

import math

import pytest
import torch
from detectron2.modeling.backbone import FPN, BasicStem, ResNet
from detectron2.modeling.backbone.fpn import LastLevelMaxPool, LastLevelP6P7
from detectron2.modeling.backbone.resnet import BasicBlock

from cascade_rpn_d2.modeling import FPNWithInputs

CHANNELS = 16


@pytest.fixture
def trunk() -> ResNet:
    stages = [
        ResNet.make_stage(
            BasicBlock, 1, in_channels=before, out_channels=after, stride_per_block=[stride]
        )
        for before, after, stride in [(8, 8, 1), (8, 12, 2), (12, 20, 2)]
    ]
    stem = BasicStem(in_channels=3, out_channels=8)
    return ResNet(stem, stages, out_features=["res2", "res3", "res4"]).eval()


def with_inputs(trunk: ResNet, **options) -> FPNWithInputs:
    return FPNWithInputs(trunk, ["res2", "res3", "res4"], CHANNELS, **options)


@pytest.mark.parametrize(
    ("top_block", "added"),
    [
        (None, 0),
        (LastLevelMaxPool, 1),
        (lambda: LastLevelP6P7(20, CHANNELS, in_feature="res4"), 2),
    ],
)
def test_pairs_of_maps_have_one_shape(trunk: ResNet, top_block, added: int):
    top_block = top_block() if top_block is not None else None
    if added == 1:
        top_block.in_feature = "p4"
    backbone = with_inputs(trunk, top_block=top_block)
    maps = backbone(torch.randn(2, 3, 64, 96))
    levels = range(2, 5 + added)
    assert list(maps) == [f"c{n}" for n in levels] + [f"p{n}" for n in levels]
    shapes = backbone.output_shape()
    assert shapes.keys() == maps.keys()
    for n in levels:
        assert maps[f"c{n}"].shape == maps[f"p{n}"].shape
        for name in (f"c{n}", f"p{n}"):
            stride = shapes[name].stride
            cells = (math.ceil(64 / stride), math.ceil(96 / stride))
            assert maps[name].shape == (2, shapes[name].channels, *cells)
    assert backbone.size_divisibility == 16


def test_the_maps_after_are_those_of_the_fpn_alone(trunk: ResNet):
    backbone = with_inputs(trunk)
    fpn = FPN(trunk, ["res2", "res3", "res4"], CHANNELS)
    weights = {k: v for k, v in fpn.state_dict().items() if k.startswith("fpn_")}
    backbone.fpn.load_state_dict(weights, strict=True)
    image = torch.randn(1, 3, 32, 64)
    ours, theirs = backbone(image), fpn(image)
    for name, expected in theirs.items():
        assert torch.equal(ours[name], expected)


def test_the_maps_before_know_nothing_of_coarser_levels(trunk: ResNet):
    backbone = with_inputs(trunk)
    image = torch.randn(1, 3, 32, 64)
    before = backbone(image)
    for parameter in trunk.res4.parameters():
        parameter.data.add_(0.5)
    after = backbone(image)
    assert torch.equal(after["c3"], before["c3"])
    assert not torch.allclose(after["c4"], before["c4"])
    assert not torch.allclose(after["p3"], before["p3"])


def test_every_layer_is_trained_once(trunk: ResNet):
    backbone = with_inputs(trunk)
    names = [name for name, _ in backbone.named_parameters()]
    assert sum(name.startswith("bottom_up.") for name in names) == len(list(trunk.parameters()))
    assert not any(name.startswith("fpn.bottom_up") for name in names)
    sum(x.sum() for x in backbone(torch.randn(1, 3, 32, 64)).values()).backward()
    assert all(p.grad is not None for p in backbone.parameters())
