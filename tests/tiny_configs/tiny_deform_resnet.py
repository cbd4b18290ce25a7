"""A backbone of three stages, of which two are deformable; nothing on top of it."""

from detectron2.config import LazyCall as L
from detectron2.modeling.backbone import BasicStem, ResNet
from detectron2.modeling.backbone.resnet import BottleneckBlock

from cascade_rpn_d2.modeling import DeformBottleneckBlock

model = dict(
    backbone=dict(
        bottom_up=L(ResNet)(
            stem=L(BasicStem)(in_channels=3, out_channels=8, norm="FrozenBN"),
            stages=[
                L(ResNet.make_stage)(
                    block_class=block_class,
                    num_blocks=2,
                    stride_per_block=[2, 1],
                    in_channels=before,
                    bottleneck_channels=8,
                    out_channels=after,
                    num_groups=4,
                    norm="FrozenBN",
                )
                for block_class, before, after in [
                    (BottleneckBlock, 8, 16),
                    (DeformBottleneckBlock, 16, 24),
                    (DeformBottleneckBlock, 24, 32),
                ]
            ],
            out_features=["res2", "res3", "res4"],
            freeze_at=1,
        )
    )
)
