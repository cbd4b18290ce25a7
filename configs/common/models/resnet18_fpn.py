"""ResNet-18 up to res4 with a 64-channel FPN: fine-tunes on a laptop, with ImageNet weights."""

from detectron2.config import LazyCall as L
from detectron2.modeling.backbone import FPN, BasicStem, ResNet
from detectron2.modeling.backbone.fpn import LastLevelP6P7
from detectron2.modeling.backbone.resnet import BasicBlock

backbone = L(FPN)(
    bottom_up=L(ResNet)(
        stem=L(BasicStem)(in_channels=3, out_channels=64, norm="FrozenBN"),
        stages=[
            L(ResNet.make_stage)(
                block_class=BasicBlock,
                num_blocks=2,
                in_channels=before,
                out_channels=after,
                stride_per_block=[stride, 1],
                norm="FrozenBN",
            )
            for before, after, stride in [(64, 64, 1), (64, 128, 2), (128, 256, 2)]
        ],
        out_features=["res2", "res3", "res4"],
        freeze_at=2,
    ),
    in_features="${.bottom_up.out_features}",
    out_channels=64,
    # The two coarsest levels are made of p4 by convolutions of stride 2.
    top_block=L(LastLevelP6P7)(in_channels=64, out_channels=64, in_feature="p4"),
)

# RGB, 0 to 255, as torchvision's ImageNet weights take it.
pixel_mean = [123.675, 116.28, 103.53]
pixel_std = [58.395, 57.12, 57.375]
