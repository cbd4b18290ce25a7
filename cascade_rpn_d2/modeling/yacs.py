"""Parts that several models build from the same yacs keys, and the look-up they share; LazyConfigs
list theirs instead."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from torch import nn

from .assignment import VariableIoUAssigner
from .box_coder import BoxCoder
from .box_losses import BoundedIoULoss
from .feature_adaption import FeatureAdaption, LearnedFeatureAdaption, PlainFeatureAdaption
from .guided_anchors import SHAPE_CHANNELS, LocationLoss
from .refinement import Refinement
from .region_assignment import RegionAssigner
from .sampling import RandomSampler


def common_width(shapes: Sequence[ShapeSpec], generator: str) -> int:
    """Channels of the maps with these ``shapes``.

    Raises:
        ValueError: if they differ; names the ``generator``.
    """
    channels = sorted({shape.channels or 0 for shape in shapes})
    if len(channels) != 1:
        raise ValueError(
            f"{generator} shares its layers between levels, whose maps must have as many channels, "
            f"not {channels}."
        )
    return channels[0]


def choice(key: str, kind: str, choices: dict[str, Callable[[], Any]]) -> Any:
    """What the yacs key ``MODEL.<key>`` stands for.

    Raises:
        ValueError: if it has a value that is not among the ``choices``.
    """
    if kind not in choices:
        raise ValueError(f"MODEL.{key} knows {', '.join(map(repr, choices))}, not {kind!r}.")
    return choices[kind]()


def box_coder_from_config(cfg: CfgNode, part: str) -> BoxCoder:
    """The box coder of Detectron2's key ``MODEL.<part>.BBOX_REG_WEIGHTS``.

    Raises:
        ValueError: if these are not four positive numbers.
    """
    weights = tuple(cfg.MODEL[part].BBOX_REG_WEIGHTS)
    if len(weights) != 4 or not all(0 < weight < math.inf for weight in weights):
        raise ValueError(
            f"MODEL.{part}.BBOX_REG_WEIGHTS has four positive numbers (dx, dy, dw, dh), not "
            f"{weights}."
        )
    return BoxCoder([1 / weight for weight in weights])


def sampler_from_config(cfg: CfgNode) -> RandomSampler:
    """The random sampler of Detectron2's keys for an RPN."""
    return RandomSampler(cfg.MODEL.RPN.BATCH_SIZE_PER_IMAGE, cfg.MODEL.RPN.POSITIVE_FRACTION)


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
        sampler=sampler_from_config(cfg),
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
