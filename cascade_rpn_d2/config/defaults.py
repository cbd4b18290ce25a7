"""The yacs keys of Cascade RPN; the defaults are two stages beneath a detector, as released."""

from __future__ import annotations

from detectron2.config import CfgNode


def add_cascade_rpn_config(cfg: CfgNode) -> None:
    """Add ``MODEL.CASCADE_RPN`` to a Detectron2 config, and what its cascaded ROI heads lack.

    ``configs/yacs/cascade_rpn.yaml`` then turns a stock Faster or Mask R-CNN with FPN into one with
    Cascade RPN. What Detectron2 has a key for already is read from there:
    ``MODEL.RPN.IN_FEATURES``, ``BATCH_SIZE_PER_IMAGE``, ``POSITIVE_FRACTION``, ``NMS_THRESH``,
    ``PRE_NMS_TOPK_*``, ``POST_NMS_TOPK_*``, ``SMOOTH_L1_BETA``, and ``MODEL.ANCHOR_GENERATOR``.

    ``MODEL.ROI_HEADS.NAME = "ResamplingCascadeROIHeads"`` reads the keys of Detectron2's
    ``"CascadeROIHeads"`` and ``MODEL.ROI_BOX_CASCADE_HEAD.STAGE_LOSS_WEIGHTS``.

    Args:
        cfg: the config to extend, in place.
    """
    node = CfgNode()
    cfg.MODEL.CASCADE_RPN = node

    # One value a stage; the number of values is the number of stages.
    # "none", "dilated", "center" (centre of the box only), "adaptive" (centre and shape), "learned"
    node.ALIGNMENT = ["dilated", "adaptive"]
    # "region" (anchor-free) or "iou" (anchor-based)
    node.ASSIGNMENT = ["region", "iou"]
    # IoU of positives, of negatives, and the least for an object to claim its best box; "iou" only
    node.IOU_THRESHOLDS = [[0.7, 0.7, 0.3], [0.7, 0.7, 0.3]]
    # "all" boxes or a "random" choice of MODEL.RPN.BATCH_SIZE_PER_IMAGE
    node.SAMPLING = ["all", "random"]
    # Standard deviations of (dx, dy, dw, dh): the regression statistics of the stage
    node.BBOX_REG_STDS = [[0.1, 0.1, 0.5, 0.5], [0.05, 0.05, 0.1, 0.1]]
    # Whether the stage predicts objectness; the last one must
    node.CLASSIFY = [False, True]
    # Whether the stage hands its aligned features on, rather than the features it was given
    node.BRIDGE = [True, False]

    # One value for all stages.
    node.DILATION = 3  # of a "dilated" alignment
    node.BBOX_REG_LOSS_TYPE = "iou"  # "iou" (linear), "iou_log" or "smooth_l1"
    node.LOC_LOSS_WEIGHT = 7.0  # 10 for proposals alone; a detector takes 0.7 of it
    node.CLS_LOSS_WEIGHT = 0.7  # 1 for proposals alone
    node.NMS_ACROSS_LEVELS = False

    node.REGION = CfgNode()
    node.REGION.CENTER_RATIO = 0.2  # of an object's side: its centre region
    node.REGION.IGNORE_RATIO = 0.5  # of an object's side: its ignore region
    node.REGION.ANCHOR_SCALE = 8.0  # side of the anchors in strides
    node.REGION.ADJACENT = "all"  # what adjacent levels ignore: "all", "negatives" or "none"
    node.REGION.LEGACY_EDGES = False  # rounding of the authors' code; goes with anchor offset 0.5

    # Of ResamplingCascadeROIHeads: weight of the losses of every stage.
    cfg.MODEL.ROI_BOX_CASCADE_HEAD.STAGE_LOSS_WEIGHTS = [1.0, 0.5, 0.25]
