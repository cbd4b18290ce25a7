"""Detectors in one stage."""

from .guided_anchor_retinanet import GuidedAnchorRetinaNet
from .guided_anchor_retinanet_head import GuidedAnchorRetinaNetHead

__all__ = ["GuidedAnchorRetinaNet", "GuidedAnchorRetinaNetHead"]
