"""Guided Anchoring and the baselines of its tables, as its authors have them in mmdet 1.x."""

from __future__ import annotations

from .authors_cascade_rpn import KEPT
from .mmdet1 import (
    CAFFE,
    FAST_RCNN,
    PYRAMID,
    REPOSITORY,
    RPN,
    RPN_OF_A_DETECTOR,
    SCHEDULE_1X,
    SGD,
    caffe_by,
)
from .table import Fact, Facts, Table, edited

_HEAD = "mmdet/models/anchor_heads/guided_anchor_head.py"
_WHERE = "mmdet/core/anchor/guided_anchor_target.py"
_SCALES = (1.0, 2 ** (1 / 3), 2 ** (2 / 3))
_BOXES = "mmdet/core/bbox/transforms.py"


def _source(file: str) -> str:
    return f"{REPOSITORY}, configs/{file}"


def _guided(head: str, train: str) -> Facts:
    """Of a head with guided anchors.

    Args:
        head: key of the head.
        train: key of its training settings, with a dot behind, or empty.
    """
    return {
        "anchors.ratios": Fact(
            (1.0,), f"{_HEAD}: AnchorGenerator(anchor_base, [self.octave_base_scale], [1.0])"
        ),
        "anchors.offset": RPN["anchors.offset"],
        # Where.
        "location.center_ratio": Fact(0.2, f"{train}center_ratio"),
        "location.ignore_ratio": Fact(0.5, f"{train}ignore_ratio"),
        "location.ignored_on_adjacent_levels": Fact(
            "negatives", f"{_WHERE}: (all_loc_weights[lvl_id] < 0)"
        ),
        "location.overlapping_objects": Fact(
            "last", f"{_WHERE}: for gt_id in range(gt_bboxes.size(0))"
        ),
        "location.keeps_far_border": Fact(True, f"{_WHERE}: clamp(min=0, max=featmap_size[1] - 1)"),
        "location.edges_at_half_cells": Fact(
            False, f"{_WHERE}: gt_bboxes[gt_id, :4] / anchor_strides[lvl]"
        ),
        # Cells by their indices.
        "location.cell_center": Fact(0.0, f"{_WHERE}: [ctr_y1:ctr_y2 + 1, ctr_x1:ctr_x2 + 1]"),
        "location.loss": Fact(("focal", 0.25, 2.0), f"{head}.loss_loc [alpha, gamma]"),
        "location.negative_weight": Fact(0.1, f"{_WHERE}: set negative regions with weight 0.1"),
        "location.cells_per_unit": Fact(200, f"{_WHERE}: loc_avg_factor"),
        "location.loss_weight": Fact(1.0, f"{head}.loss_loc.loss_weight"),
        "location.threshold": Fact(0.01, f"{head}.loc_filter_thr"),
        "head.location_prior": Fact(0.01, f"{_HEAD}: bias_init_with_prob(0.01)"),
        "head.offset_groups": Fact(4, f"{_HEAD}: deformable_groups=4"),
        # Which shape.
        "shape.box_stds": Fact((0.07, 0.07, 0.14, 0.14), f"{head}.anchoring_stds"),
        "shape.max_side_ratio": Fact(1e6, f"{_HEAD}: wh_ratio_clip=1e-6"),
        "shape.shrinking_is_bounded": Fact(True, f"{_BOXES}: clamp(min=-max_ratio, max=max_ratio)"),
        "shape.border": Fact(None, f"{train}allowed_border [-1]"),
        "shape.positive_iou": Fact(0.7, f"{train}ga_assigner.pos_iou_thr"),
        "shape.negative_iou": Fact(0.3, f"{train}ga_assigner.neg_iou_thr"),
        "shape.min_positive_iou": Fact(0.3, f"{train}ga_assigner.min_pos_iou"),
        "shape.tried_scales": Fact(_SCALES, f"{head}.scales_per_octave [2 ** (i / 3)]"),
        "shape.tried_ratios": Fact((0.5, 1.0, 2.0), f"{head}.octave_ratios"),
        "shape.samples": Fact(256, f"{train}ga_sampler.num"),
        "shape.positive_fraction": Fact(0.5, f"{train}ga_sampler.pos_fraction"),
        "shape.losses_per": Fact("sample", f"{_HEAD}: anchor_total_num"),
        "shape.box_loss": Fact(("bounded IoU", 0.2), f"{head}.loss_shape.beta"),
        "shape.box_loss_weight": Fact(1.0, f"{head}.loss_shape.loss_weight"),
        # What is on them.
        "anchors.box_stds": Fact((0.07, 0.07, 0.11, 0.11), f"{head}.target_stds"),
        "anchors.max_side_ratio": RPN["rpn.max_side_ratio"],
        "anchors.shrinking_is_bounded": RPN["rpn.shrinking_is_bounded"],
        "anchors.border": Fact(None, f"{train}allowed_border [-1]"),
        "anchors.positive_iou": Fact(0.7, f"{train}assigner.pos_iou_thr"),
        "anchors.negative_iou": Fact(0.3, f"{train}assigner.neg_iou_thr"),
        "anchors.min_positive_iou": Fact(0.3, f"{train}assigner.min_pos_iou"),
        "anchors.claimed_boxes": RPN["rpn.claimed_boxes"],
        "anchors.box_loss_weight": Fact(1.0, f"{head}.loss_bbox.loss_weight"),
        "anchors.class_loss_weight": Fact(1.0, f"{head}.loss_cls.loss_weight"),
    }


_GA_RPN = {
    **_guided("model.rpn_head", "train_cfg.rpn."),
    "proposals.kind": Fact("GuidedAnchorRPN", "model.rpn_head.type"),
    "proposals.maps": Fact(PYRAMID, "model.rpn_head.anchor_strides"),
    "anchors.sizes": Fact(
        ((32,), (64,), (128,), (256,), (512,)),
        "model.rpn_head.octave_base_scale [x anchor_strides]",
    ),
    "anchors.strides": Fact((4, 8, 16, 32, 64), "model.rpn_head.anchor_strides"),
    "location.level_scale": Fact(8, "model.rpn_head.octave_base_scale"),
    "anchors.samples": Fact(256, "train_cfg.rpn.sampler.num"),
    "anchors.positive_fraction": Fact(0.5, "train_cfg.rpn.sampler.pos_fraction"),
    "anchors.losses_per": RPN["rpn.losses_per"],
    "anchors.box_loss": Fact(("smooth L1", 1.0), "model.rpn_head.loss_bbox.beta"),
    "anchors.class_loss": Fact("cross entropy", "model.rpn_head.loss_cls.type"),
    "head.channels": Fact(256, "model.rpn_head.feat_channels"),
    "head.anchors_per_cell": Fact(1, f"{_HEAD}: self.num_anchors = 1"),
    "head.predicts_location": Fact(True, f"{_HEAD}: conv_loc"),
    "head.shape_numbers": Fact(2, f"{_HEAD}: self.num_anchors * 2"),
    "images.divisor": Fact(32, "train_pipeline: Pad"),
}

# 0.001 "in Fast/Faster RCNN ... for both baselines and Guided Anchoring".
_LOW_SCORES = Fact(0.001, "configs/guided_anchoring/README.md: score_thr")
_GA_HEADS = edited(
    FAST_RCNN,
    roi__samples=Fact(256, "train_cfg.rcnn.sampler.num"),
    roi__positive_iou=Fact(0.6, "train_cfg.rcnn.assigner.pos_iou_thr"),
    roi__box_stds=Fact((0.05, 0.05, 0.1, 0.1), "model.bbox_head.target_stds"),
    roi__score_threshold=Fact(0.001, "test_cfg.rcnn.score_thr"),
)

_RETINANET_PYRAMID = {
    "fpn.inputs": Fact(("res3", "res4", "res5"), "model.neck.start_level"),
    "fpn.coarser": Fact(
        "LastLevelP6P7WithoutReLU", "mmdet/models/necks/fpn.py: relu_before_extra_convs=False"
    ),
    "fpn.coarser_from": Fact("res5", "mmdet/models/necks/fpn.py: extra_convs_on_inputs=True"),
    "dense.maps": Fact(("p3", "p4", "p5", "p6", "p7"), "model.bbox_head.anchor_strides"),
    "anchors.strides": Fact((8, 16, 32, 64, 128), "model.bbox_head.anchor_strides"),
}
_RETINANET = {
    **_RETINANET_PYRAMID,
    "dense.classes": Fact(80, "model.bbox_head.num_classes [less the background]"),
    "dense.convs": Fact(4, "model.bbox_head.stacked_convs"),
    "dense.channels": Fact(256, "model.bbox_head.feat_channels"),
    "dense.class_prior": Fact(
        0.01, "mmdet/models/anchor_heads/retina_head.py: bias_init_with_prob(0.01)"
    ),
    "dense.score_threshold": Fact(0.05, "test_cfg.score_thr"),
    "dense.before_nms": Fact(1000, "test_cfg.nms_pre"),
    "dense.nms": Fact(0.5, "test_cfg.nms.iou_thr"),
    "dense.detections": Fact(100, "test_cfg.max_per_img"),
}
_FOCAL = Fact(("focal", 0.25, 2.0), "model.bbox_head.loss_cls [alpha, gamma]")
_POSITIVES = Fact("positive", "mmdet/models/anchor_heads/anchor_head.py: num_total_pos")

# Their files have the other style, and no number for it.
_BASELINE = caffe_by("configs/guided_anchoring/README.md: Style [of what they are compared with]")

_TRAINING = {**SCHEDULE_1X, **SGD}
# The paper has 0.02 for all of its models (section 4.1).
_SLOW_TRAINING = edited(_TRAINING, optimizer__lr=Fact(0.01, "optimizer.lr"))

TABLES = [
    # Baselines.
    Table(
        "guided_anchoring/rpn_r50_fpn_1x.py",
        _source("rpn_r50_fpn_1x.py"),
        {**_TRAINING, **_BASELINE, **RPN, **KEPT},
    ),
    Table(
        "guided_anchoring/fast_rcnn_r50_fpn_1x.py",
        _source("fast_rcnn_r50_fpn_1x.py"),
        {
            **_TRAINING,
            **_BASELINE,
            **edited(FAST_RCNN, roi__score_threshold=_LOW_SCORES),
            "proposals.train_count": Fact(2000, "train_pipeline: LoadProposals"),
            "proposals.test_count": Fact(None, "test_pipeline: LoadProposals"),
        },
    ),
    Table(
        "guided_anchoring/faster_rcnn_r50_fpn_1x.py",
        _source("faster_rcnn_r50_fpn_1x.py"),
        {
            **_TRAINING,
            **_BASELINE,
            **RPN_OF_A_DETECTOR,
            **edited(FAST_RCNN, roi__score_threshold=_LOW_SCORES),
        },
    ),
    Table(
        "guided_anchoring/retinanet_r50_fpn_1x.py",
        _source("retinanet_r50_fpn_1x.py"),
        {
            **_SLOW_TRAINING,
            **_BASELINE,
            **_RETINANET,
            "anchors.sizes": Fact(
                tuple(
                    tuple(4 * stride * scale for scale in _SCALES)
                    for stride in (8, 16, 32, 64, 128)
                ),
                "model.bbox_head.octave_base_scale [x anchor_strides x 2 ** (i / 3)]",
            ),
            "anchors.ratios": Fact((0.5, 1.0, 2.0), "model.bbox_head.anchor_ratios"),
            "anchors.offset": RPN["anchors.offset"],
            "dense.anchors_per_cell": Fact(9, "model.bbox_head.scales_per_octave [x ratios]"),
            "dense.positive_iou": Fact(0.5, "train_cfg.assigner.pos_iou_thr"),
            "dense.negative_iou": Fact(0.4, "train_cfg.assigner.neg_iou_thr"),
            "dense.min_positive_iou": Fact(0, "train_cfg.assigner.min_pos_iou"),
            "dense.box_stds": Fact((1.0, 1.0, 1.0, 1.0), "model.bbox_head.target_stds"),
            "dense.max_side_ratio": RPN["rpn.max_side_ratio"],
            "dense.shrinking_is_bounded": RPN["rpn.shrinking_is_bounded"],
            "dense.class_loss": _FOCAL,
            "dense.box_loss": Fact(("smooth L1", 0.11), "model.bbox_head.loss_bbox.beta"),
            "dense.losses_per": _POSITIVES,
        },
    ),
    # The method.
    Table(
        "guided_anchoring/ga_rpn_r50_fpn_1x.py",
        _source("guided_anchoring/ga_rpn_r50_caffe_fpn_1x.py"),
        {**_TRAINING, **CAFFE, **_GA_RPN, **KEPT},
    ),
    Table(
        "guided_anchoring/ga_fast_rcnn_r50_fpn_1x.py",
        _source("guided_anchoring/ga_fast_r50_caffe_fpn_1x.py"),
        {
            **_TRAINING,
            **CAFFE,
            **_GA_HEADS,
            "proposals.train_count": Fact(300, "train_pipeline: LoadProposals"),
            "proposals.test_count": Fact(300, "paper: section 4.3, training and testing"),
        },
    ),
    Table(
        "guided_anchoring/ga_faster_rcnn_r50_fpn_1x.py",
        _source("guided_anchoring/ga_faster_r50_caffe_fpn_1x.py"),
        {
            **_TRAINING,
            **CAFFE,
            **_GA_RPN,
            **_GA_HEADS,
            "proposals.train_before_nms": Fact(2000, "train_cfg.rpn_proposal.nms_pre"),
            "proposals.train_count": Fact(300, "train_cfg.rpn_proposal.max_num"),
            "proposals.test_before_nms": Fact(1000, "test_cfg.rpn.nms_pre"),
            "proposals.test_count": Fact(300, "test_cfg.rpn.max_num"),
            "proposals.nms": Fact(0.7, "test_cfg.rpn.nms_thr"),
            "proposals.nms_across_levels": Fact(False, "test_cfg.rpn.nms_across_levels"),
            "proposals.min_size": Fact(0, "test_cfg.rpn.min_bbox_size"),
            "proposals.in_padding": KEPT["proposals.in_padding"],
        },
    ),
    Table(
        "guided_anchoring/ga_retinanet_r50_fpn_1x.py",
        _source("guided_anchoring/ga_retinanet_r50_caffe_fpn_1x.py"),
        {
            **_SLOW_TRAINING,
            **CAFFE,
            **_RETINANET,
            **edited(
                _guided("model.bbox_head", "train_cfg."),
                shape__box_stds=Fact((1.0, 1.0, 1.0, 1.0), "model.bbox_head.anchoring_stds"),
                shape__positive_iou=Fact(0.5, "train_cfg.ga_assigner.pos_iou_thr"),
                shape__negative_iou=Fact(0.4, "train_cfg.ga_assigner.neg_iou_thr"),
                shape__min_positive_iou=Fact(0.4, "train_cfg.ga_assigner.min_pos_iou"),
                anchors__box_stds=Fact((1.0, 1.0, 1.0, 1.0), "model.bbox_head.target_stds"),
                anchors__positive_iou=Fact(0.5, "train_cfg.assigner.pos_iou_thr"),
                anchors__negative_iou=Fact(0.5, "train_cfg.assigner.neg_iou_thr"),
                anchors__min_positive_iou=Fact(0.0, "train_cfg.assigner.min_pos_iou"),
            ),
            "anchors.sizes": Fact(
                ((32,), (64,), (128,), (256,), (512,)),
                "model.bbox_head.octave_base_scale [x anchor_strides]",
            ),
            "location.level_scale": Fact(4, "model.bbox_head.octave_base_scale"),
            "anchors.losses_per": _POSITIVES,
            "anchors.box_loss": Fact(("smooth L1", 0.04), "model.bbox_head.loss_bbox.beta"),
            "anchors.class_loss": _FOCAL,
            "dense.in_padding": Fact(True, f"{_HEAD}: get_bboxes_single"),
        },
    ),
]
