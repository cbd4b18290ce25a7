"""The parts of a :class:`GuidedAnchorRetinaNet` from yacs keys; LazyConfigs list theirs instead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from detectron2.config import CfgNode
from detectron2.modeling import build_anchor_generator, build_backbone
from torch import nn

from ..assignment import IoUAssigner
from ..box_losses import SmoothL1Loss
from ..refinement import Refinement
from ..sampling import DenseSampler
from ..score_losses import SigmoidFocalLoss
from ..yacs import (
    adaption_from_config,
    box_coder_from_config,
    common_width,
    location_loss_from_config,
    shape_from_config,
)
from .guided_anchor_retinanet_head import GuidedAnchorRetinaNetHead


def guided_retinanet_from_config(cfg: CfgNode) -> dict[str, Any]:
    """Arguments of a :class:`GuidedAnchorRetinaNet` that ``cfg.MODEL.RETINANET`` and
    ``cfg.MODEL.GUIDED_ANCHOR`` describe.

    Args:
        cfg: a config with the keys of :func:`cascade_rpn_d2.config.add_cascade_rpn_config`.

    Raises:
        ValueError: if a key has a value that the model does not know, or maps differ in channels.
    """
    node = cfg.MODEL.RETINANET
    check_keys(cfg)
    backbone = build_backbone(cfg)
    shapes = [backbone.output_shape()[name] for name in node.IN_FEATURES]
    width = common_width(shapes, "GuidedAnchorRetinaNet")
    return {
        "backbone": backbone,
        "head": GuidedAnchorRetinaNetHead(
            width,
            num_classes=node.NUM_CLASSES,
            cls_adaption=_adaption(cfg, width),
            box_adaption=_adaption(cfg, width),
            num_convs=node.NUM_CONVS,
            class_prior=node.PRIOR_PROB,
        ),
        "head_in_features": node.IN_FEATURES,
        "anchor_generator": build_anchor_generator(cfg, shapes),
        "refinement": Refinement(
            box_coder=box_coder_from_config(cfg, "RETINANET"),
            # As with Detectron2's RetinaNet, every object claims its best anchors.
            assigner=IoUAssigner(*_thresholds(node.IOU_THRESHOLDS), min_positive_iou=0.0),
            sampler=DenseSampler(),
            box_loss=SmoothL1Loss(node.SMOOTH_L1_LOSS_BETA),
            cls_loss=SigmoidFocalLoss(node.FOCAL_LOSS_ALPHA, node.FOCAL_LOSS_GAMMA),
        ),
        "shape": shape_from_config(cfg),
        "location_loss": location_loss_from_config(cfg),
        "num_classes": node.NUM_CLASSES,
        "location_threshold": cfg.MODEL.GUIDED_ANCHOR.LOCATION.THRESHOLD,
        "test_score_thresh": node.SCORE_THRESH_TEST,
        "test_topk_candidates": node.TOPK_CANDIDATES_TEST,
        "test_nms_thresh": node.NMS_THRESH_TEST,
        "max_detections_per_image": cfg.TEST.DETECTIONS_PER_IMAGE,
        "propose_in_padding": cfg.MODEL.PROPOSAL_GENERATOR.PROPOSE_IN_PADDING,
        "pixel_mean": cfg.MODEL.PIXEL_MEAN,
        "pixel_std": cfg.MODEL.PIXEL_STD,
    }


def check_keys(cfg: CfgNode) -> None:
    """Check the keys that choose between things of which GA-RetinaNet has one.

    Raises:
        ValueError: says what a key takes and what it has.
    """
    node, guided = cfg.MODEL.RETINANET, cfg.MODEL.GUIDED_ANCHOR
    fixed = [
        ("RETINANET.NORM", node.NORM, ""),
        ("RETINANET.BBOX_REG_LOSS_TYPE", node.BBOX_REG_LOSS_TYPE, "smooth_l1"),
        ("GUIDED_ANCHOR.LOCATION.ENABLED", guided.LOCATION.ENABLED, True),
        ("GUIDED_ANCHOR.SHAPE.PREDICTS", guided.SHAPE.PREDICTS, "size"),
    ]
    for key, value, only in fixed:
        if value != only:
            raise ValueError(f"MODEL.{key} is {only!r} for GuidedAnchorRetinaNet, not {value!r}.")
    labels = {1: [0, 1], 2: [0, -1, 1]}.get(len(node.IOU_THRESHOLDS))
    if list(node.IOU_LABELS) != labels:
        raise ValueError(
            "MODEL.RETINANET.IOU_THRESHOLDS takes one value with IOU_LABELS [0, 1], or two with "
            f"[0, -1, 1], not {list(node.IOU_THRESHOLDS)} with {list(node.IOU_LABELS)}."
        )


def _thresholds(thresholds: Sequence[float]) -> tuple[float, float]:
    """Least IoU of a positive, and below which a negative is."""
    return thresholds[-1], thresholds[0]


def _adaption(cfg: CfgNode, width: int) -> nn.Module:
    adaption = adaption_from_config(cfg, width)
    if adaption is None:
        raise ValueError(
            "GuidedAnchorRetinaNet adapts its features: give MODEL.GUIDED_ANCHOR.ADAPTION 'shape', "
            "'learned' or 'plain', not 'none'."
        )
    return adaption
