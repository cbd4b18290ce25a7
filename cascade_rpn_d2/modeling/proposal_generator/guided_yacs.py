"""The parts of a :class:`GuidedAnchorRPN` from yacs keys; LazyConfigs list theirs instead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec

from ..assignment import IoUAssigner
from ..box_coder import BoxCoder
from ..box_losses import SmoothL1Loss
from ..refinement import Refinement
from ..yacs import (
    adaption_from_config,
    common_width,
    location_loss_from_config,
    sampler_from_config,
    shape_from_config,
)
from .guided_anchor_head import GuidedAnchorHead


def guided_parts_from_config(
    cfg: CfgNode, shapes: Sequence[ShapeSpec], num_anchors: int
) -> dict[str, Any]:
    """Arguments of a :class:`GuidedAnchorRPN` that ``cfg.MODEL.GUIDED_ANCHOR`` describes.

    Args:
        cfg: a config with the keys of :func:`cascade_rpn_d2.config.add_cascade_rpn_config`.
        shapes: of the feature maps, which must agree in their channels.
        num_anchors: A, anchors per cell.

    Raises:
        ValueError: if a value is unknown, or the maps differ in channels.
    """
    node = cfg.MODEL.GUIDED_ANCHOR
    width = common_width(shapes, "GuidedAnchorRPN")
    head = GuidedAnchorHead(
        width,
        num_anchors=num_anchors,
        location=node.LOCATION.ENABLED,
        shape=node.SHAPE.PREDICTS,
        adaption=adaption_from_config(cfg, width),
    )
    return {
        "head": head,
        "refinement": Refinement(
            box_coder=BoxCoder(node.BBOX_REG_STDS),
            assigner=IoUAssigner(*node.IOU_THRESHOLDS),
            sampler=sampler_from_config(cfg),
            box_loss=SmoothL1Loss(node.SMOOTH_L1_BETA),
        ),
        "shape": None if head.shape is None else shape_from_config(cfg),
        "location_loss": None if head.location is None else location_loss_from_config(cfg),
        "location_threshold": node.LOCATION.THRESHOLD,
    }
