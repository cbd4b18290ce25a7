"""Tensors in, tensors out: operators, norms, losses and box arithmetic. Imports torch only."""

from __future__ import annotations

from .adaptive_conv import AdaptiveConv2d, adaptive_conv2d
from .batch_norm import FixedStatisticsBatchNorm2d
from .boxes import box_area, box_iou, clip_boxes, pairwise_box_iou
from .deform_conv import DeformConv2d, deform_conv2d
from .losses import IoULossMode, bounded_iou_loss, iou_loss
from .nms import sorted_nms

__all__ = [
    "AdaptiveConv2d",
    "DeformConv2d",
    "FixedStatisticsBatchNorm2d",
    "IoULossMode",
    "adaptive_conv2d",
    "bounded_iou_loss",
    "box_area",
    "box_iou",
    "clip_boxes",
    "deform_conv2d",
    "iou_loss",
    "pairwise_box_iou",
    "sorted_nms",
]
