"""ResNet-50 FPN in the "pytorch" style: torchvision's weights, stride in the 3x3, RGB.

Scale and shift of the norms are trained, their statistics stay those of ImageNet; stem and res2 are
frozen as a whole. mmdet has its detectors on this backbone so unless their config says "caffe".
"""

from detectron2.config import LazyCall as L
from detectron2.modeling.backbone import FPN, BasicStem, ResNet
from detectron2.modeling.backbone.fpn import LastLevelMaxPool

from cascade_rpn_d2.layers import FixedStatisticsBatchNorm2d

backbone = L(FPN)(
    bottom_up=L(ResNet)(
        stem=L(BasicStem)(in_channels=3, out_channels=64, norm=FixedStatisticsBatchNorm2d),
        stages=L(ResNet.make_default_stages)(
            depth=50, stride_in_1x1=False, norm=FixedStatisticsBatchNorm2d
        ),
        out_features=["res2", "res3", "res4", "res5"],
        freeze_at=2,
    ),
    in_features="${.bottom_up.out_features}",
    out_channels=256,
    top_block=L(LastLevelMaxPool)(),
)

# RGB, 0 to 255, as torchvision's ImageNet weights take it.
pixel_mean = [123.675, 116.28, 103.53]
pixel_std = [58.395, 57.12, 57.375]
