"""Geometry of axis-aligned boxes as plain tensor functions.

Boxes are ``(..., 4)`` tensors ``(x1, y1, x2, y2)`` in continuous coordinates: the width of a box is
``x2 - x1``. Everything broadcasts, so one function serves a pair of boxes and a whole batch.

Shape shorthand: ``N`` images, ``G`` ground truths an image (padded), ``R`` boxes an image.
"""

from __future__ import annotations

import torch
from torch import Tensor

# The smallest union an IoU is divided by: two boxes without area have an IoU of 0 rather than NaN.
MIN_UNION = 1e-6


def box_area(boxes: Tensor) -> Tensor:
    """Areas (...,) of ``boxes`` (..., 4), in squared units of the boxes."""
    x1, y1, x2, y2 = boxes.unbind(-1)
    return (x2 - x1) * (y2 - y1)


def box_iou(boxes: Tensor, others: Tensor) -> Tensor:
    """Intersection over union of boxes that correspond to each other.

    Args:
        boxes: (..., 4).
        others: (..., 4), broadcast against ``boxes``.

    Returns:
        (...,) in [0, 1]; 0 for two boxes that both have no area. Differentiable in both arguments.
    """
    ax1, ay1, ax2, ay2 = boxes.unbind(-1)
    bx1, by1, bx2, by2 = others.unbind(-1)
    width = (torch.minimum(ax2, bx2) - torch.maximum(ax1, bx1)).clamp(min=0)
    height = (torch.minimum(ay2, by2) - torch.maximum(ay1, by1)).clamp(min=0)
    intersection = width * height
    union = box_area(boxes) + box_area(others) - intersection
    return intersection / union.clamp(min=MIN_UNION)


def pairwise_box_iou(boxes: Tensor, others: Tensor) -> Tensor:
    """IoU of every box with every other box of the same image.

    Args:
        boxes: (N, G, 4).
        others: (N, R, 4).

    Returns:
        (N, G, R).
    """
    return box_iou(boxes[:, :, None], others[:, None, :])


def clip_boxes(boxes: Tensor, image_sizes: Tensor) -> Tensor:
    """Clip the boxes of every image to that image.

    Args:
        boxes: (N, R, 4) in pixels.
        image_sizes: (N, 2), height and width of every image in pixels, without padding.

    Returns:
        (N, R, 4) with x in [0, width] and y in [0, height].
    """
    height, width = image_sizes.to(boxes).unbind(-1)
    limit = torch.stack((width, height, width, height), dim=-1)[:, None]  # (N, 1, 4)
    return torch.minimum(boxes.clamp(min=0), limit)
