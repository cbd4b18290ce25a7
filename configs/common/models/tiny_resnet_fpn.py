"""A ResNet of 9 convolutions with a 64-channel FPN: trains from scratch on a laptop in minutes."""

from detectron2.config import LazyCall as L
from detectron2.modeling.backbone import FPN, BasicStem, ResNet
from detectron2.modeling.backbone.fpn import LastLevelMaxPool
from detectron2.modeling.backbone.resnet import BasicBlock

backbone = L(FPN)(
    bottom_up=L(ResNet)(
        stem=L(BasicStem)(in_channels=3, out_channels=32, norm="BN"),
        stages=[
            L(ResNet.make_stage)(
                block_class=BasicBlock,
                num_blocks=1,
                in_channels=before,
                out_channels=after,
                stride_per_block=[stride],
                norm="BN",
            )
            for before, after, stride in [(32, 32, 1), (32, 64, 2), (64, 128, 2), (128, 256, 2)]
        ],
        out_features=["res2", "res3", "res4", "res5"],
        freeze_at=0,
    ),
    in_features="${.bottom_up.out_features}",
    out_channels=64,
    norm="",
    top_block=L(LastLevelMaxPool)(),
)

# BGR, 0 to 255, brought to about unit range because nothing here is pre-trained.
pixel_mean = [103.530, 116.280, 123.675]
pixel_std = [58.0, 58.0, 58.0]
