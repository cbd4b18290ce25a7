"""The parts of a :class:`GuidedAnchorRPN` from yacs keys, some of them shared with GA-RetinaNet;
LazyConfigs list theirs instead."""

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
            sampler=_sampler(cfg),
            box_loss=SmoothL1Loss(node.SMOOTH_L1_BETA),
        ),
        "shape": None if head.shape is None else shape_from_config(cfg),
        "location_loss": None if head.location is None else location_loss_from_config(cfg),
        "location_threshold": node.LOCATION.THRESHOLD,
    }


def shape_from_config(cfg: CfgNode) -> Refinement:
    """What trains a shape branch, of ``MODEL.GUIDED_ANCHOR.SHAPE``."""
    node = cfg.MODEL.GUIDED_ANCHOR.SHAPE
    return Refinement(
        box_coder=BoxCoder(node.STDS, max_side_ratio=node.MAX_SIDE_RATIO),
        assigner=VariableIoUAssigner(
            *node.IOU_THRESHOLDS,
            octave_scales=node.OCTAVE_SCALES,
            aspect_ratios=node.ASPECT_RATIOS,
        ),
        sampler=_sampler(cfg),
        box_loss=BoundedIoULoss(node.BOUNDED_IOU_BETA),
        loc_weight=node.LOSS_WEIGHT,
    )


def location_loss_from_config(cfg: CfgNode) -> LocationLoss:
    """What trains a location branch, of ``MODEL.GUIDED_ANCHOR.LOCATION``."""
    node = cfg.MODEL.GUIDED_ANCHOR.LOCATION
    return LocationLoss(
        assigner=RegionAssigner(
            node.CENTER_RATIO,
            node.IGNORE_RATIO,
            anchor_scale=node.ANCHOR_SCALE,
            adjacent=node.ADJACENT,
            overlap=node.OVERLAP,
            keep_border=node.KEEP_BORDER,
            legacy_edges=node.LEGACY_EDGES,
        ),
        negative_weight=node.NEGATIVE_WEIGHT,
        weight=node.LOSS_WEIGHT,
    )


def _sampler(cfg: CfgNode) -> RandomSampler:
    return RandomSampler(cfg.MODEL.RPN.BATCH_SIZE_PER_IMAGE, cfg.MODEL.RPN.POSITIVE_FRACTION)


def adaption_from_config(cfg: CfgNode, width: int) -> nn.Module | None:
    """The ``MODEL.GUIDED_ANCHOR.ADAPTION`` of maps with ``width`` channels; None if there is none.

    Raises:
        ValueError: if it is unknown.
    """
    node = cfg.MODEL.GUIDED_ANCHOR
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
