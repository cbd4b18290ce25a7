"""The ZF net as a backbone: its maps, its norm by worked numbers, and the two ways to build it."""

from __future__ import annotations

import pytest
import torch
from detectron2.config import get_cfg
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, build_backbone
from torch import nn

from cascade_rpn_d2.config import add_cascade_rpn_config
from cascade_rpn_d2.modeling import ZF
from cascade_rpn_d2.modeling.backbone.zf import WithinChannelNorm

WIDTHS = (2, 3, 4, 5, 6)
LAYERS = ["conv1", "conv2", "conv3", "conv4", "conv5"]


def narrow(**options) -> ZF:
    return ZF(widths=WIDTHS, **options)


@pytest.mark.parametrize("size", [(48, 80), (16, 16), (608, 1008)])
def test_maps_have_the_strides_that_they_state(size):
    backbone = narrow(out_features=LAYERS)
    outputs = backbone(torch.randn(1, 3, *size))
    assert list(outputs) == LAYERS
    for name, width, stride in zip(LAYERS, WIDTHS, (2, 8, 16, 16, 16), strict=True):
        assert outputs[name].shape == (1, width, size[0] // stride, size[1] // stride)
        assert (outputs[name] >= 0).all()
        assert backbone.output_shape()[name] == ShapeSpec(channels=width, stride=stride)
    assert backbone.size_divisibility == 16


def test_its_layers_are_those_of_the_released_model():
    with torch.device("meta"):
        state = ZF().state_dict()
    weights = {name: tuple(x.shape) for name, x in state.items() if name.endswith("weight")}
    assert weights == {
        "conv1.weight": (96, 3, 7, 7),
        "conv2.weight": (256, 96, 5, 5),
        "conv3.weight": (384, 256, 3, 3),
        "conv4.weight": (384, 384, 3, 3),
        "conv5.weight": (256, 384, 3, 3),
    }
    assert set(state) == {*weights, *(name.replace("weight", "bias") for name in weights)}


def test_the_net_is_convolutions_norms_and_poolings_in_the_order_of_the_prototxt():
    backbone = narrow().double()
    x = torch.randn(1, 3, 64, 64, dtype=torch.float64) * 60
    expected = x
    for name in LAYERS:
        conv = getattr(backbone, name)
        expected = nn.functional.conv2d(
            expected, conv.weight, conv.bias, conv.stride, conv.padding
        ).relu()
        if name in LAYERS[:2]:
            squares = nn.functional.avg_pool2d(expected.float() ** 2, 3, 1, 1)
            expected = expected / (1 + 5e-5 * squares) ** 0.75
            expected = nn.functional.max_pool2d(expected, 3, 2, 1)
    assert torch.allclose(backbone(x)["conv5"], expected, rtol=1e-6)


def test_the_norm_by_hand():
    x = torch.zeros(1, 2, 3, 3)
    x[0, 0, 1, 1], x[0, 0, 0, 0], x[0, 1, 2, 2] = 30.0, 60.0, 90.0
    norm = WithinChannelNorm(size=3, alpha=0.01, beta=0.75)
    # Of the centre 9 cells: (30^2 + 60^2) / 9 = 500. The other channel does not count.
    assert norm(x)[0, 0, 1, 1] == pytest.approx(30 / (1 + 0.01 * 500) ** 0.75)
    # Of a corner 4 cells are on the map, but the mean is over 9.
    assert norm(x)[0, 0, 0, 0] == pytest.approx(60 / 6**0.75)
    assert norm(x)[0, 1, 2, 2] == pytest.approx(90 / (1 + 0.01 * 900) ** 0.75)


def test_the_norm_of_large_values_in_half_precision():
    x = torch.full((1, 1, 3, 3), 1000.0)
    half = WithinChannelNorm()(x.half())
    assert half.dtype == torch.float16
    assert torch.allclose(half.float(), WithinChannelNorm()(x), rtol=1e-3)


def test_layers_after_the_last_one_that_is_read_are_not_built():
    backbone = narrow(out_features=["conv2"])
    assert {name.partition(".")[0] for name in backbone.state_dict()} == set(LAYERS[:2])
    assert list(backbone(torch.randn(1, 3, 32, 32))) == ["conv2"]


@pytest.mark.parametrize("freeze_at", [0, 2, 5])
def test_the_first_layers_are_frozen(freeze_at):
    backbone = narrow(freeze_at=freeze_at)
    trained = {name.partition(".")[0] for name, p in backbone.named_parameters() if p.requires_grad}
    assert trained == set(LAYERS[freeze_at:])
    if trained:
        backbone(torch.randn(1, 3, 32, 32))["conv5"].sum().backward()
    assert all((p.grad is not None) == p.requires_grad for p in backbone.parameters())


def test_random_weights_neither_fade_nor_explode_on_pixels():
    outputs = ZF()(torch.randn(1, 3, 64, 64) * 60)["conv5"]
    assert 0.01 < outputs.std() < 10


def test_the_registered_builder_reads_the_config():
    assert "build_zf_backbone" in BACKBONE_REGISTRY
    cfg = get_cfg()
    add_cascade_rpn_config(cfg)
    cfg.MODEL.BACKBONE.NAME = "build_zf_backbone"
    cfg.MODEL.BACKBONE.FREEZE_AT = 1
    cfg.MODEL.ZF.OUT_FEATURES = ["conv2"]
    backbone = build_backbone(cfg)
    assert backbone.output_shape() == {"conv2": ShapeSpec(channels=256, stride=8)}
    assert not backbone.conv1.weight.requires_grad and backbone.conv2.weight.requires_grad
