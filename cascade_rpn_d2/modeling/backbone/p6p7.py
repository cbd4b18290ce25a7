"""The two coarsest levels of mmdet's RetinaNet."""

from __future__ import annotations

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling.backbone import BACKBONE_REGISTRY, FPN, build_resnet_backbone
from detectron2.modeling.backbone.fpn import LastLevelP6P7
from torch import Tensor


class LastLevelP6P7WithoutReLU(LastLevelP6P7):
    """Detectron2's top block of an FPN, but that P7 is made of P6 as it is, without a ReLU between.

    As the released weights need it. By default P6 is made of C5, the map of ``res5``.

    Args:
        in_channels: of the map that P6 is made of.
        out_channels: of P6 and P7.
        in_feature: name of the map that P6 is made of.
    """

    def forward(self, c5: Tensor) -> list[Tensor]:
        """P6 and P7, from a map (N, in_channels, H, W); each is half as high and wide."""
        p6 = self.p6(c5)
        return [p6, self.p7(p6)]


@BACKBONE_REGISTRY.register()
def build_retinanet_resnet_fpn_backbone_without_relu(cfg: CfgNode, input_shape: ShapeSpec) -> FPN:
    """Detectron2's ``build_retinanet_resnet_fpn_backbone`` with the top block above."""
    bottom_up = build_resnet_backbone(cfg, input_shape)
    out_channels = cfg.MODEL.FPN.OUT_CHANNELS
    return FPN(
        bottom_up=bottom_up,
        in_features=cfg.MODEL.FPN.IN_FEATURES,
        out_channels=out_channels,
        norm=cfg.MODEL.FPN.NORM,
        top_block=LastLevelP6P7WithoutReLU(bottom_up.output_shape()["res5"].channels, out_channels),
        fuse_type=cfg.MODEL.FPN.FUSE_TYPE,
    )
