"""ResNeXt-101, 32 groups of 4 channels, as mmdet has it: stride in the 3x3, RGB.

Its norms are trained as those of "pytorch" style ResNets are, see resnet50_torchvision_fpn.py.
"""

from detectron2.config import LazyCall as L
from detectron2.modeling.backbone import ResNet
from detectron2.modeling.backbone.resnet import BottleneckBlock

from cascade_rpn_d2.layers import FixedStatisticsBatchNorm2d

from ..models.resnet50_torchvision_fpn import backbone, pixel_mean, pixel_std

# `make_default_stages` has the bottlenecks of ResNet only; these are twice as wide.
backbone.bottom_up.stages = [
    L(ResNet.make_stage)(
        block_class=BottleneckBlock,
        num_blocks=num_blocks,
        stride_per_block=[stride] + [1] * (num_blocks - 1),
        in_channels=before,
        bottleneck_channels=after // 2,
        out_channels=after,
        num_groups=32,
        stride_in_1x1=False,
        norm=FixedStatisticsBatchNorm2d,
    )
    for num_blocks, stride, before, after in [
        (3, 1, 64, 256),
        (4, 2, 256, 512),
        (23, 2, 512, 1024),
        (3, 2, 1024, 2048),
    ]
]
trunk = dict(
    bottom_up=backbone.bottom_up,
    pixel_mean=pixel_mean,
    pixel_std=pixel_std,
    image_format="RGB",
    # The weights of mmdet's configs, under torchvision's names. torchvision has none of this width.
    init_checkpoint=(
        "https://download.openmmlab.com/pretrain/third_party/resnext101_32x4d-a5af3160.pth"
    ),
)
