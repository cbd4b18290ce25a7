"""ResNeXt-101, 64 groups of 4 channels, as mmdet has it: stride in the 3x3, RGB."""

from .resnext101_32x4d import trunk

for stage in trunk.bottom_up.stages:
    stage.num_groups = 64
    stage.bottleneck_channels = stage.out_channels
# The weights of mmdet's configs. torchvision's are of a later and longer training.
trunk.init_checkpoint = (
    "https://download.openmmlab.com/pretrain/third_party/resnext101_64x4d-ee2c6f71.pth"
)
