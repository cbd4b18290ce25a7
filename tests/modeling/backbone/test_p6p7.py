"""P6 and P7 without a ReLU between them."""

from __future__ import annotations

import torch
from detectron2.config import get_cfg
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_backbone
from detectron2.modeling.backbone.fpn import LastLevelP6P7

from cascade_rpn_d2.modeling import LastLevelP6P7WithoutReLU


def test_p7_is_made_of_p6_as_it_is():
    block = LastLevelP6P7WithoutReLU(6, 4)
    stock = LastLevelP6P7(6, 4)
    stock.load_state_dict(block.state_dict())
    assert block.in_feature == "res5" and block.num_levels == 2
    c5 = torch.randn(1, 6, 10, 13)
    p6, p7 = block(c5)
    assert p6.shape == (1, 4, 5, 7) and p7.shape == (1, 4, 3, 4)
    assert torch.equal(p7, block.p7(p6)) and (p6 < 0).any()
    with_relu = stock(c5)
    assert torch.equal(with_relu[0], p6) and not torch.allclose(with_relu[1], p7)


def test_from_yacs():
    cfg = get_cfg()
    cfg.MODEL.BACKBONE.NAME = "build_retinanet_resnet_fpn_backbone_without_relu"
    cfg.MODEL.RESNETS.DEPTH, cfg.MODEL.RESNETS.RES2_OUT_CHANNELS = 18, 64
    cfg.MODEL.RESNETS.OUT_FEATURES = ["res3", "res4", "res5"]
    cfg.MODEL.FPN.IN_FEATURES = ["res3", "res4", "res5"]
    cfg.MODEL.FPN.OUT_CHANNELS = 16
    backbone = build_backbone(cfg, ShapeSpec(channels=3))
    assert isinstance(backbone.top_block, LastLevelP6P7WithoutReLU)
    assert backbone.top_block.p6.weight.shape == (16, 512, 3, 3), "P6 is made of C5"
    strides = {name: shape.stride for name, shape in backbone.output_shape().items()}
    assert strides == {"p3": 8, "p4": 16, "p5": 32, "p6": 64, "p7": 128}
    assert backbone.size_divisibility == 32, "to which an image is padded"
    with torch.no_grad():
        maps = backbone(torch.randn(1, 3, 64, 96))
    assert maps["p6"].shape == (1, 16, 1, 2) and maps["p7"].shape == (1, 16, 1, 1)
