"""VGG-16 as a backbone: its maps, what of it is trained, and the two ways to build it."""

from __future__ import annotations

import pytest
import torch
from detectron2.config import get_cfg
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, build_backbone
from detectron2.modeling.backbone import FPN
from torchvision.models import VGG16_Weights

from cascade_rpn_d2.config import add_cascade_rpn_config
from cascade_rpn_d2.modeling import VGG16, VGGBoxHead

WIDTHS = (2, 3, 4, 5, 6)
BLOCKS = ["conv1", "conv2", "conv3", "conv4", "conv5"]


def narrow(**options) -> VGG16:
    return VGG16(widths=WIDTHS, **options)


def test_each_block_halves_the_map_but_the_first():
    backbone = narrow(out_features=BLOCKS)
    images = torch.randn(2, 3, 48, 83)
    outputs = backbone(images)
    assert list(outputs) == BLOCKS
    for name, width, stride in zip(BLOCKS, WIDTHS, (1, 2, 4, 8, 16), strict=True):
        assert outputs[name].shape == (2, width, 48 // stride, 83 // stride)
        assert (outputs[name] >= 0).all()
        assert backbone.output_shape()[name] == ShapeSpec(channels=width, stride=stride)


def test_faster_rcnn_reads_the_last_block_alone():
    backbone = narrow()
    assert backbone.output_shape() == {"conv5": ShapeSpec(channels=6, stride=16)}
    assert list(backbone(torch.randn(1, 3, 32, 32))) == ["conv5"]
    assert backbone.size_divisibility == 16


def test_it_has_the_13_convolutions_and_with_its_head_the_parameters_of_vgg16():
    with torch.device("meta"):
        backbone = VGG16()
        head = VGGBoxHead(ShapeSpec(channels=512, height=7, width=7))
    weights = [name for name in backbone.state_dict() if name.endswith("weight")]
    assert len(weights) == 13
    assert weights[0] == "conv1.conv1_1.weight" and weights[-1] == "conv5.conv5_3.weight"
    last_layer = 4096 * 1000 + 1000
    ours = sum(p.numel() for part in (backbone, head) for p in part.parameters())
    assert ours + last_layer == VGG16_Weights.IMAGENET1K_V1.meta["num_params"]


def test_blocks_after_the_last_one_that_is_read_are_not_built():
    backbone = narrow(out_features=["conv3", "conv2"])
    assert [name for name, _ in backbone.named_children()] == BLOCKS[:3]
    assert list(backbone.output_shape()) == ["conv2", "conv3"]  # finest first
    assert backbone.size_divisibility == 4


@pytest.mark.parametrize("freeze_at", [0, 2, 5])
def test_the_first_blocks_are_frozen(freeze_at):
    backbone = narrow(freeze_at=freeze_at)
    trained = {name.partition(".")[0] for name, p in backbone.named_parameters() if p.requires_grad}
    assert trained == set(BLOCKS[freeze_at:])
    images = torch.randn(1, 3, 32, 32)
    if trained:
        backbone(images)["conv5"].sum().backward()
    assert all((p.grad is not None) == p.requires_grad for p in backbone.parameters())


def test_random_weights_neither_fade_nor_explode():
    outputs = VGG16()(torch.randn(1, 3, 64, 64))["conv5"]
    assert 0.1 < outputs.std() < 10


def test_a_feature_pyramid_sits_on_it():
    bottom_up = narrow(out_features=BLOCKS[1:])
    pyramid = FPN(bottom_up, in_features=BLOCKS[1:], out_channels=8)
    outputs = pyramid(torch.randn(1, 3, 32, 48))
    assert {name: x.shape[-2:] for name, x in outputs.items()} == {
        "p1": (16, 24), "p2": (8, 12), "p3": (4, 6), "p4": (2, 3),
    }  # fmt: skip


def test_the_registered_builder_reads_the_config():
    assert "build_vgg16_backbone" in BACKBONE_REGISTRY
    cfg = get_cfg()
    add_cascade_rpn_config(cfg)
    cfg.MODEL.BACKBONE.NAME = "build_vgg16_backbone"
    cfg.MODEL.BACKBONE.FREEZE_AT = 1
    cfg.MODEL.VGG.OUT_FEATURES = ["conv2", "conv3"]
    backbone = build_backbone(cfg)
    assert backbone.output_shape() == {
        "conv2": ShapeSpec(channels=128, stride=2),
        "conv3": ShapeSpec(channels=256, stride=4),
    }
    trained = {name.partition(".")[0] for name, p in backbone.named_parameters() if p.requires_grad}
    assert trained == {"conv2", "conv3"}
