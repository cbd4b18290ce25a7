"""Backbones that Detectron2 lacks, or has in its compiled part only."""

from .deform_resnet import DeformBottleneckBlock
from .fpn_with_inputs import FPNWithInputs
from .p6p7 import LastLevelP6P7WithoutReLU, build_retinanet_resnet_fpn_backbone_without_relu
from .vgg import VGG16, build_vgg16_backbone
from .zf import ZF, build_zf_backbone

__all__ = [
    "VGG16",
    "ZF",
    "DeformBottleneckBlock",
    "FPNWithInputs",
    "LastLevelP6P7WithoutReLU",
    "build_retinanet_resnet_fpn_backbone_without_relu",
    "build_vgg16_backbone",
    "build_zf_backbone",
]
