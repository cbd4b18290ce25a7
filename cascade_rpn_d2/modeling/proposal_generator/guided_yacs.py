"""The parts of a :class:`GuidedAnchorRPN` from yacs keys; LazyConfigs list theirs instead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from torch import nn

from ..assignment import IoUAssigner, RegionAssigner, VariableIoUAssigner
from ..box_coder import BoxCoder
from ..box_losses import BoundedIoULoss, SmoothL1Loss
from ..feature_adaption import FeatureAdaption, LearnedFeatureAdaption, PlainFeatureAdaption
from ..guided_anchors import LocationLoss
from ..refinement import Refinement
from ..sampling import RandomSampler
from .guided_anchor_head import SHAPE_CHANNELS, GuidedAnchorHead
from .yacs import choice, common_width


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
    sampler = RandomSampler(cfg.MODEL.RPN.BATCH_SIZE_PER_IMAGE, cfg.MODEL.RPN.POSITIVE_FRACTION)
    head = GuidedAnchorHead(
        width,
        num_anchors=num_anchors,
        location=node.LOCATION.ENABLED,
        shape=node.SHAPE.PREDICTS,
        adaption=_adaption(node, width),
    )
    return {
        "head": head,
        "refinement": Refinement(
            box_coder=BoxCoder(node.BBOX_REG_STDS),
            assigner=IoUAssigner(*node.IOU_THRESHOLDS),
            sampler=sampler,
            box_loss=SmoothL1Loss(node.SMOOTH_L1_BETA),
        ),
        "shape": None if head.shape is None else Refinement(
            box_coder=BoxCoder(node.SHAPE.STDS, max_side_ratio=node.SHAPE.MAX_SIDE_RATIO),
            assigner=VariableIoUAssigner(
                *node.SHAPE.IOU_THRESHOLDS,
                octave_scales=node.SHAPE.OCTAVE_SCALES,
                aspect_ratios=node.SHAPE.ASPECT_RATIOS,
            ),
            sampler=sampler,
            box_loss=BoundedIoULoss(node.SHAPE.BOUNDED_IOU_BETA),
            loc_weight=node.SHAPE.LOSS_WEIGHT,
        ),
        "location_loss": None if head.location is None else LocationLoss(
            assigner=RegionAssigner(
                node.LOCATION.CENTER_RATIO,
                node.LOCATION.IGNORE_RATIO,
                anchor_scale=node.LOCATION.ANCHOR_SCALE,
                adjacent=node.LOCATION.ADJACENT,
                overlap=node.LOCATION.OVERLAP,
                keep_border=node.LOCATION.KEEP_BORDER,
            ),
            negative_weight=node.LOCATION.NEGATIVE_WEIGHT,
            weight=node.LOCATION.LOSS_WEIGHT,
        ),
        "location_threshold": node.LOCATION.THRESHOLD,
    }  # fmt: skip


def _adaption(node: CfgNode, width: int) -> nn.Module | None:
    groups = node.OFFSET_GROUPS
    shape_channels = SHAPE_CHANNELS.get(node.SHAPE.PREDICTS, 2)
    return choice("GUIDED_ANCHOR.ADAPTION", node.ADAPTION, {
        "shape": lambda: FeatureAdaption(
            width, width, shape_channels=shape_channels, offset_groups=groups
        ),
        "learned": lambda: LearnedFeatureAdaption(width, width, offset_groups=groups),
        "plain": lambda: PlainFeatureAdaption(width, width),
        "none": lambda: None,
    })  # fmt: skip
