"""ResNet-101 in the "caffe" style: MSRA's weights, stride in the 1x1, frozen BN, BGR."""

from ..models.resnet_fpn import backbone, pixel_mean, pixel_std

backbone.bottom_up.stages.depth = 101
trunk = dict(
    bottom_up=backbone.bottom_up,
    pixel_mean=pixel_mean,
    pixel_std=pixel_std,
    image_format="BGR",
    init_checkpoint="detectron2://ImageNetPretrained/MSRA/R-101.pkl",
)
