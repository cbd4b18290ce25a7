"""ResNet-50 FPN in the "caffe" style that the papers use: stride in the 1x1, frozen BN, BGR."""

from detectron2.config import LazyCall as L
from detectron2.modeling.backbone import FPN, BasicStem, ResNet
from detectron2.modeling.backbone.fpn import LastLevelMaxPool

backbone = L(FPN)(
    bottom_up=L(ResNet)(
        stem=L(BasicStem)(in_channels=3, out_channels=64, norm="FrozenBN"),
        stages=L(ResNet.make_default_stages)(depth=50, stride_in_1x1=True, norm="FrozenBN"),
        out_features=["res2", "res3", "res4", "res5"],
        freeze_at=2,
    ),
    in_features="${.bottom_up.out_features}",
    out_channels=256,
    top_block=L(LastLevelMaxPool)(),
)

# BGR, 0 to 255, as mmdet >= 2.x and Detectron2 have it; the authors' own files take
# 102.9801 115.9465 122.7717.
pixel_mean = [103.530, 116.280, 123.675]
pixel_std = [1.0, 1.0, 1.0]
