"""Cascade RPN, its detectors and the baselines of its tables, as its authors have them."""

from __future__ import annotations

from .mmdet1 import (
    CAFFE,
    FAST_RCNN,
    PYRAMID,
    PYTORCH,
    REPOSITORY,
    RPN,
    RPN_OF_A_DETECTOR,
    SCHEDULE_1X,
    SGD,
    caffe_by,
)
from .table import Fact, Table, edited, moved

_CODE = "mmdet/models/anchor_heads/cascade_rpn_head.py"
_REGIONS = "mmdet/core/bbox/assigners/region_assigner.py"
_OFFSETS = "mmdet/core/anchor/anchor_offset.py"


def _source(file: str) -> str:
    return f"{REPOSITORY}, configs/{file}"


# Proposals of a model that makes nothing else; they are made at test alone.
KEPT = {
    "proposals.test_before_nms": Fact(2000, "test_cfg.rpn.nms_pre"),
    "proposals.test_count": Fact(2000, "test_cfg.rpn.max_num"),
    "proposals.nms": Fact(0.7, "test_cfg.rpn.nms_thr"),
    "proposals.nms_across_levels": Fact(False, "test_cfg.rpn.nms_across_levels"),
    "proposals.min_size": Fact(0, "test_cfg.rpn.min_bbox_size"),
    "proposals.in_padding": Fact(
        True, "mmdet/models/anchor_heads/rpn_head.py: get_bboxes_single [all cells]"
    ),
}

_CASCADE_RPN = {
    "proposals.kind": Fact("CascadeRPN", "model.type"),
    "proposals.maps": Fact(PYRAMID, "model.rpn_head.0.anchor_strides"),
    "anchors.sizes": Fact(
        ((32,), (64,), (128,), (256,), (512,)),
        "model.rpn_head.0.anchor_scales [x anchor_strides]",
    ),
    "anchors.ratios": Fact((1.0,), "model.rpn_head.0.anchor_ratios"),
    "anchors.strides": Fact((4, 8, 16, 32, 64), "model.rpn_head.0.anchor_strides"),
    "anchors.offset": RPN["anchors.offset"],
    "stage1.alignment": Fact("ConvAlignment", "model.rpn_head.0 [without feat_adapt]"),
    "stage1.dilation": Fact(3, "model.rpn_head.0.dilation"),
    "stage1.channels": Fact(256, "model.rpn_head.0.in_channels"),
    "stage1.out_channels": Fact(256, "model.rpn_head.0.feat_channels"),
    "stage1.anchors_per_cell": Fact(1, "model.rpn_head.0.anchor_ratios [1 scale x 1]"),
    "stage1.scores": Fact(False, "model.rpn_head.0.with_cls"),
    "stage1.hands_on_features": Fact(True, "model.rpn_head.0.bridged_feature"),
    "stage1.box_stds": Fact((0.1, 0.1, 0.5, 0.5), "model.rpn_head.0.target_stds"),
    "stage1.max_side_ratio": RPN["rpn.max_side_ratio"],
    "stage1.shrinking_is_bounded": RPN["rpn.shrinking_is_bounded"],
    "stage1.border": Fact(None, "train_cfg.rpn.0.allowed_border [-1]"),
    "stage1.center_ratio": Fact(0.2, "train_cfg.rpn.0.assigner.center_ratio"),
    "stage1.ignore_ratio": Fact(0.5, "train_cfg.rpn.0.assigner.ignore_ratio"),
    "stage1.level_scale": Fact(8, "model.rpn_head.0.anchor_scales"),
    # Ratio and stride are exchanged in the call for the levels beside an object's own, whose
    # regions are empty thereby.
    "stage1.ignored_on_adjacent_levels": Fact(
        "none", f"{_REGIONS}: calc_region(gt_bbox, d_stride, r2, ...)"
    ),
    "stage1.overlapping_objects": Fact("last", f"{_REGIONS}: for gt_id in range(num_gts)"),
    "stage1.keeps_far_border": Fact(True, f"{_REGIONS}: clamp(min=0, max=featmap_size[1] - 1)"),
    "stage1.edges_at_half_cells": Fact(True, f"{_REGIONS}: (bbox - (stride - 1) * 0.5) / stride"),
    "stage1.cell_center": Fact(0.5, f"{_REGIONS}: (anchors - (stride - 1) * 0.5) / stride"),
    "stage1.losses_per": Fact(
        "1/200 of all boxes", "mmdet/models/anchor_heads/cascade_anchor_head.py: / 200.0"
    ),
    "stage1.box_loss": Fact(("IoU", "linear"), "model.rpn_head.0.loss_bbox.linear"),
    "stage1.box_loss_weight": Fact(10.0, "model.rpn_head.0.loss_bbox.loss_weight"),
    "stage2.alignment": Fact("AdaptiveAlignment", "model.rpn_head.1.feat_adapt"),
    "stage2.center_offset": Fact(0.5, f"{_OFFSETS}: (x - (stride - 1) * 0.5) / stride"),
    "stage2.channels": Fact(256, "model.rpn_head.1.in_channels"),
    "stage2.out_channels": Fact(256, "model.rpn_head.1.feat_channels"),
    "stage2.anchors_per_cell": Fact(1, "model.rpn_head.1.anchor_ratios [1 scale x 1]"),
    "stage2.follows_shapes": Fact(True, f"{_OFFSETS}: _shape_offset"),
    "stage2.scores": Fact(True, "mmdet/models/anchor_heads/cascade_anchor_head.py: with_cls=True"),
    "stage2.score_prior": Fact(0.5, f"{_CODE}: normal_init(self.rpn_cls, std=0.01) [bias 0]"),
    "stage2.hands_on_features": Fact(False, f"{_CODE}: bridged_feature=False"),
    "stage2.box_stds": Fact((0.05, 0.05, 0.1, 0.1), "model.rpn_head.1.target_stds"),
    "stage2.max_side_ratio": RPN["rpn.max_side_ratio"],
    "stage2.shrinking_is_bounded": RPN["rpn.shrinking_is_bounded"],
    "stage2.border": Fact(None, "train_cfg.rpn.1.allowed_border [-1]"),
    "stage2.positive_iou": Fact(0.7, "train_cfg.rpn.1.assigner.pos_iou_thr"),
    "stage2.negative_iou": Fact(0.7, "train_cfg.rpn.1.assigner.neg_iou_thr"),
    "stage2.min_positive_iou": Fact(0.3, "train_cfg.rpn.1.assigner.min_pos_iou"),
    "stage2.claimed_boxes": RPN["rpn.claimed_boxes"],
    "stage2.samples": Fact(256, "train_cfg.rpn.1.sampler.num"),
    "stage2.positive_fraction": Fact(0.5, "train_cfg.rpn.1.sampler.pos_fraction"),
    "stage2.losses_per": RPN["rpn.losses_per"],
    "stage2.box_loss": Fact(("IoU", "linear"), "model.rpn_head.1.loss_bbox.linear"),
    "stage2.box_loss_weight": Fact(10.0, "model.rpn_head.1.loss_bbox.loss_weight"),
    "stage2.class_loss": Fact("cross entropy", "model.rpn_head.1.loss_cls.type"),
    "stage2.class_loss_weight": Fact(1.0, "model.rpn_head.1.loss_cls.loss_weight"),
    "images.divisor": Fact(32, "train_pipeline: Pad"),
}
_CASCADE_RPN_ALONE = edited(
    {**_CASCADE_RPN, **KEPT}, proposals__nms=Fact(0.8, "test_cfg.rpn.nms_thr")
)

# Beneath a detector: 0.7 of the weights, and proposals selected while training as at test.
_IN_TRAINING = "mmdet/models/detectors/two_stage.py, cascade_rcnn.py: self.test_cfg.rpn"
_CASCADE_RPN_OF_A_DETECTOR = edited(
    _CASCADE_RPN_ALONE,
    stage1__box_loss_weight=Fact(7.0, "model.rpn_head.0.loss_bbox.loss_weight"),
    stage2__box_loss_weight=Fact(7.0, "model.rpn_head.1.loss_bbox.loss_weight"),
    stage2__class_loss_weight=Fact(0.7, "model.rpn_head.1.loss_cls.loss_weight"),
    proposals__train_before_nms=Fact(1000, _IN_TRAINING),
    proposals__test_before_nms=Fact(1000, "test_cfg.rpn.nms_pre"),
)

# Heads for better proposals than RPN's.
_HIGH_QUALITY = edited(
    FAST_RCNN,
    roi__samples=Fact(256, "train_cfg.rcnn.sampler.num"),
    roi__positive_iou=Fact(0.65, "train_cfg.rcnn.assigner.pos_iou_thr"),
    roi__box_stds=Fact((0.04, 0.04, 0.08, 0.08), "model.bbox_head.target_stds"),
    roi__class_loss_weight=Fact(1.5, "model.bbox_head.loss_cls.loss_weight"),
    roi__score_threshold=Fact(0.001, "test_cfg.rcnn.score_thr"),
)

_CASCADE_RCNN = edited(
    moved(FAST_RCNN, model__bbox_head="model.bbox_head.0", train_cfg__rcnn="train_cfg.rcnn.0"),
    roi__kind=Fact("ResamplingCascadeROIHeads", "model.type"),
    roi__positive_iou=Fact((0.5, 0.6, 0.7), "train_cfg.rcnn [assigner.pos_iou_thr of 3 stages]"),
    roi__box_stds=Fact(
        ((0.1, 0.1, 0.2, 0.2), (0.05, 0.05, 0.1, 0.1), (0.033, 0.033, 0.067, 0.067)),
        "model.bbox_head [target_stds of 3 stages]",
    ),
    roi__class_agnostic=Fact(True, "model.bbox_head.0.reg_class_agnostic"),
    roi__stage_weights=Fact((1, 0.5, 0.25), "train_cfg.stage_loss_weights"),
)
_HIGH_QUALITY_CASCADE = edited(
    _CASCADE_RCNN,
    roi__positive_iou=Fact((0.55, 0.65, 0.75), "train_cfg.rcnn [assigner.pos_iou_thr]"),
    roi__box_stds=Fact(
        ((0.04, 0.04, 0.08, 0.08),) * 3, "model.bbox_head [target_stds of 3 stages]"
    ),
    roi__class_loss_weight=Fact(1.5, "model.bbox_head.0.loss_cls.loss_weight"),
    roi__score_threshold=Fact(0.001, "test_cfg.rcnn.score_thr"),
    roi__nms=Fact(0.6, "test_cfg.rcnn.nms.iou_thr"),
)

_TRAINING = {**SCHEDULE_1X, **SGD}
# Those of the baselines' numbers were not published, but for Cascade R-CNN's.
_BASELINE = caffe_by("README.md: Style [of RPN, Fast and Faster R-CNN]")

TABLES = [
    # Baselines.
    Table(
        "cascade_rpn/rpn_r50_fpn_1x.py",
        _source("rpn_r50_fpn_1x.py"),
        {**_TRAINING, **_BASELINE, **RPN, **KEPT},
    ),
    Table(
        "cascade_rpn/fast_rcnn_r50_fpn_1x.py",
        _source("fast_rcnn_r50_fpn_1x.py"),
        {
            **_TRAINING,
            **_BASELINE,
            **FAST_RCNN,
            "proposals.train_count": Fact(2000, "train_pipeline: LoadProposals"),
            "proposals.test_count": Fact(1000, "paper: Table 2, # proposals"),
        },
    ),
    Table(
        "cascade_rpn/faster_rcnn_r50_fpn_1x.py",
        _source("faster_rcnn_r50_fpn_1x.py"),
        {**_TRAINING, **_BASELINE, **RPN_OF_A_DETECTOR, **FAST_RCNN},
    ),
    Table(
        "cascade_rpn/cascade_rcnn_r50_fpn_1x.py",
        _source("cascade_rcnn_r50_fpn_1x.py"),
        {**_TRAINING, **PYTORCH, **RPN_OF_A_DETECTOR, **_CASCADE_RCNN},
    ),
    # The method.
    Table(
        "cascade_rpn/cascade_rpn_r50_fpn_1x.py",
        _source("cascade_rpn/cascade_rpn_r50_fpn_1x.py"),
        {**_TRAINING, **CAFFE, **_CASCADE_RPN_ALONE},
    ),
    Table(
        "cascade_rpn/cascade_rpn_fast_rcnn_r50_fpn_1x.py",
        _source("cascade_rpn/crpn_fast_rcnn_r50_fpn_1x.py"),
        {
            **_TRAINING,
            **CAFFE,
            **_HIGH_QUALITY,
            "proposals.train_count": Fact(300, "train_pipeline: LoadProposals"),
            "proposals.test_count": Fact(300, "test_pipeline: LoadProposals"),
        },
    ),
    Table(
        "cascade_rpn/cascade_rpn_faster_rcnn_r50_fpn_1x.py",
        _source("cascade_rpn/crpn_faster_rcnn_r50_fpn_1x.py"),
        {
            **_TRAINING,
            **CAFFE,
            **_CASCADE_RPN_OF_A_DETECTOR,
            **_HIGH_QUALITY,
            "proposals.train_count": Fact(300, _IN_TRAINING),
            "proposals.test_count": Fact(300, "test_cfg.rpn.max_num"),
        },
    ),
    Table(
        "cascade_rpn/cascade_rpn_cascade_rcnn_r50_fpn_1x.py",
        _source("cascade_rpn/crpn_cascade_rcnn_r50_fpn_1x.py"),
        {
            **_TRAINING,
            **PYTORCH,
            **_CASCADE_RPN_OF_A_DETECTOR,
            **_HIGH_QUALITY_CASCADE,
            "proposals.train_count": Fact(1000, _IN_TRAINING),
            "proposals.test_count": Fact(1000, "test_cfg.rpn.max_num"),
        },
    ),
]
