"""Heads that classify and refine the proposals of a detector."""

from .cascade_rcnn import ResamplingCascadeROIHeads
from .vgg_box_head import VGGBoxHead

__all__ = ["ResamplingCascadeROIHeads", "VGGBoxHead"]
