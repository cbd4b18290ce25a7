"""Tensors in, tensors out: operators, norms, losses and box arithmetic. Imports torch only."""

from __future__ import annotations

from .adaptive_conv import AdaptiveConv2d, adaptive_conv2d
from .batch_norm import FixedStatisticsBatchNorm2d
from .boxes import box_area, box_iou, clip_boxes, pairwise_box_iou
from .deform_conv import DeformConv2d, deform_conv2d
from .grid_points import (
    decode_grid_boxes,
    decode_grid_points,
    encode_grid_points,
    mapped_regions,
    sub_region_starts,
)
from .losses import IoULossMode, bounded_iou_loss, iou_loss
from .nms import sorted_nms
from .soft_nms import SoftNMSMethod, soft_nms

__all__ = [
    "AdaptiveConv2d",
    "DeformConv2d",
    "FixedStatisticsBatchNorm2d",
    "IoULossMode",
    "SoftNMSMethod",
    "adaptive_conv2d",
    "bounded_iou_loss",
    "box_area",
    "box_iou",
    "clip_boxes",
    "decode_grid_boxes",
    "decode_grid_points",
    "deform_conv2d",
    "encode_grid_points",
    "iou_loss",
    "mapped_regions",
    "pairwise_box_iou",
    "soft_nms",
    "sorted_nms",
    "sub_region_starts",
]
