"""Detectors in one stage, and models of proposals that know the original size of images."""

from .guided_anchor_retinanet import GuidedAnchorRetinaNet
from .guided_anchor_retinanet_head import GuidedAnchorRetinaNetHead
from .original_size import OriginalSizeProposalNetwork, OriginalSizeRCNN, ResizedImageList

__all__ = [
    "GuidedAnchorRetinaNet",
    "GuidedAnchorRetinaNetHead",
    "OriginalSizeProposalNetwork",
    "OriginalSizeRCNN",
    "ResizedImageList",
]
