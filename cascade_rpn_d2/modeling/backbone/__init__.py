"""Backbones that Detectron2 lacks."""

from .fpn_with_inputs import FPNWithInputs
from .vgg import VGG16, build_vgg16_backbone

__all__ = ["VGG16", "FPNWithInputs", "build_vgg16_backbone"]
