"""The stages of a :class:`CascadeRPN`, and what refines the anchors of a :class:`StandardRPN`, from
yacs keys; LazyConfigs list theirs instead."""

from __future__ import annotations

from collections.abc import Sequence

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from torch import nn

from ..assignment import Assigner, IoUAssigner
from ..box_coder import BoxCoder
from ..box_losses import BoxLoss, IoULoss, SmoothL1Loss
from ..refinement import Refinement
from ..region_assignment import RegionAssigner
from ..sampling import AllSampler, Sampler
from ..yacs import box_coder_from_config, choice, common_width, sampler_from_config
from .alignment import AdaptiveAlignment, ConvAlignment, LearnedAlignment
from .predictor import BoxPredictor
from .stage import Stage

# The keys of MODEL.CASCADE_RPN that hold one value a stage.
PER_STAGE = (
    "ALIGNMENT",
    "ASSIGNMENT",
    "IOU_THRESHOLDS",
    "SAMPLING",
    "BBOX_REG_STDS",
    "CLASSIFY",
    "BRIDGE",
)


def stages_from_config(cfg: CfgNode, shapes: Sequence[ShapeSpec], num_anchors: int) -> list[Stage]:
    """Build the stages that ``cfg.MODEL.CASCADE_RPN`` describes.

    Args:
        cfg: a config with the keys of :func:`cascade_rpn_d2.config.add_cascade_rpn_config`.
        shapes: of the feature maps, which must agree in their channels.
        num_anchors: A, anchors per cell.

    Raises:
        ValueError: if the per-stage keys differ in length, a value is unknown, or the maps differ
            in channels.
    """
    node = cfg.MODEL.CASCADE_RPN
    lengths = {key: len(node[key]) for key in PER_STAGE}
    if len(set(lengths.values())) != 1:
        raise ValueError(
            "Give every per-stage key of MODEL.CASCADE_RPN one value a stage; their numbers of "
            f"values are {lengths}."
        )
    width = common_width(shapes, "CascadeRPN")
    return [
        Stage(
            align=_alignment(node.ALIGNMENT[i], width, node.DILATION, cfg),
            predictor=BoxPredictor(
                width, num_anchors=num_anchors, objectness=bool(node.CLASSIFY[i])
            ),
            box_coder=BoxCoder(node.BBOX_REG_STDS[i]),
            assigner=_assigner(node.ASSIGNMENT[i], node.IOU_THRESHOLDS[i], cfg),
            sampler=_sampler(node.SAMPLING[i], cfg),
            box_loss=_box_loss(node.BBOX_REG_LOSS_TYPE, cfg),
            loc_weight=node.LOC_LOSS_WEIGHT,
            cls_weight=node.CLS_LOSS_WEIGHT,
            bridge=bool(node.BRIDGE[i]),
        )
        for i in range(len(node.ALIGNMENT))
    ]


def _alignment(kind: str, width: int, dilation: int, cfg: CfgNode) -> nn.Module:
    center_offset = cfg.MODEL.ANCHOR_GENERATOR.OFFSET
    return choice("CASCADE_RPN.ALIGNMENT", kind, {
        "none": lambda: ConvAlignment(width, width),
        "dilated": lambda: ConvAlignment(width, width, dilation=dilation),
        "center": lambda: AdaptiveAlignment(
            width, width, center_only=True, center_offset=center_offset
        ),
        "adaptive": lambda: AdaptiveAlignment(width, width, center_offset=center_offset),
        "learned": lambda: LearnedAlignment(width, width),
    })  # fmt: skip


def _assigner(kind: str, thresholds: Sequence[float], cfg: CfgNode) -> Assigner:
    node = cfg.MODEL.CASCADE_RPN
    return choice("CASCADE_RPN.ASSIGNMENT", kind, {
        "region": lambda: RegionAssigner(
            node.REGION.CENTER_RATIO,
            node.REGION.IGNORE_RATIO,
            anchor_scale=node.REGION.ANCHOR_SCALE,
            adjacent=node.REGION.ADJACENT,
            legacy_edges=node.REGION.LEGACY_EDGES,
            center_offset=cfg.MODEL.ANCHOR_GENERATOR.OFFSET,
        ),
        "iou": lambda: IoUAssigner(*thresholds),
    })  # fmt: skip


def _sampler(kind: str, cfg: CfgNode) -> Sampler:
    return choice("CASCADE_RPN.SAMPLING", kind, {
        "all": lambda: AllSampler(),
        "random": lambda: sampler_from_config(cfg),
    })  # fmt: skip


def _box_loss(kind: str, cfg: CfgNode) -> BoxLoss:
    return choice("CASCADE_RPN.BBOX_REG_LOSS_TYPE", kind, {
        "iou": lambda: IoULoss("linear"),
        "iou_log": lambda: IoULoss("log"),
        "smooth_l1": lambda: SmoothL1Loss(cfg.MODEL.RPN.SMOOTH_L1_BETA),
    })  # fmt: skip


def standard_refinement_from_config(cfg: CfgNode) -> Refinement:
    """What refines the anchors of an RPN, from the keys of Detectron2's.

    Raises:
        ValueError: if they ask for what there is not here.
    """
    node = cfg.MODEL.RPN
    if list(node.IOU_LABELS) != [0, -1, 1]:
        raise ValueError(
            "MODEL.RPN.IOU_LABELS of a StandardRPN are [0, -1, 1], background, ignored and "
            f"object, not {list(node.IOU_LABELS)}."
        )
    if node.BBOX_REG_LOSS_TYPE != "smooth_l1":
        raise ValueError(
            "MODEL.RPN.BBOX_REG_LOSS_TYPE of a StandardRPN is 'smooth_l1', not "
            f"'{node.BBOX_REG_LOSS_TYPE}'; in a LazyConfig, box_loss may be any."
        )
    if len(node.IOU_THRESHOLDS) != 2:
        raise ValueError(
            "MODEL.RPN.IOU_THRESHOLDS of a StandardRPN are two, below which an anchor is "
            f"background and from which it is positive, not {list(node.IOU_THRESHOLDS)}."
        )
    negative_iou, positive_iou = node.IOU_THRESHOLDS
    return Refinement(
        box_coder=box_coder_from_config(cfg, "RPN"),
        assigner=IoUAssigner(positive_iou, negative_iou, node.MIN_POSITIVE_IOU, claims=node.CLAIMS),
        sampler=sampler_from_config(cfg),
        box_loss=SmoothL1Loss(node.SMOOTH_L1_BETA),
        loc_weight=node.BBOX_REG_LOSS_WEIGHT * node.LOSS_WEIGHT,
        cls_weight=node.LOSS_WEIGHT,
        border=node.BOUNDARY_THRESH if node.BOUNDARY_THRESH >= 0 else None,
        match_across_border=node.MATCH_ACROSS_BORDER,
    )
