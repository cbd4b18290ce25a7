"""Facts of what classifies boxes: ROI heads, and the detectors without any."""

from __future__ import annotations

import math

from cascade_rpn_d2.modeling.box_coder import MAX_SIDE_RATIO

from .read_proposals import read_anchors, read_guided_anchors
from .read_run import Facts
from .resolved import Resolved

# Heads of one box head and one box predictor.
_SINGLE = ("StandardROIHeads", "GridROIHeads", "CPMROIHeads")
_CASCADES = ("ResamplingCascadeROIHeads", "ScoredCascadeROIHeads")


def read_heads(config: Resolved) -> Facts:
    """Of ROI heads, or of a one-stage detector; nothing for proposals alone."""
    kind = config.kind("model")
    if kind == "RetinaNet":
        return _retinanet(config)
    if kind == "GuidedAnchorRetinaNet":
        return _guided_anchor_retinanet(config)
    path = "model.roi_heads"
    if not config.has(path):
        return {}
    kind = config.kind(path)
    facts = {
        "roi.kind": kind,
        "roi.classes": config(f"{path}.num_classes"),
        "roi.samples": config(f"{path}.batch_size_per_image"),
        "roi.positive_fraction": config(f"{path}.positive_fraction"),
        "roi.objects_are_proposals": config(f"{path}.proposal_append_gt"),
        "roi.maps": config(f"{path}.box_in_features"),
        **_pooler(config, f"{path}.box_pooler", "roi"),
    }
    if kind in _CASCADES:
        facts |= _cascade(config, path)
    else:
        assert kind in _SINGLE
        facts |= _positives(config, f"{path}.proposal_matcher", "roi")
        facts |= _box_head(config, f"{path}.box_head", "roi")
        facts |= _predictor(config, f"{path}.box_predictor", "roi")
    if config.has(f"{path}.grid_stages"):
        facts |= _grid(config, path)
    if kind in ("CPMROIHeads", "ScoredCascadeROIHeads"):
        facts |= _scores(config, path)
    return facts


def _positives(config: Resolved, path: str, name: str) -> Facts:
    (iou,) = config(f"{path}.thresholds")
    assert config(f"{path}.labels") == (0, 1)
    assert not config(f"{path}.allow_low_quality_matches")
    return {f"{name}.positive_iou": iou}


def _pooler(config: Resolved, path: str, name: str) -> Facts:
    kind = config(f"{path}.pooler_type")
    strides = tuple(round(1 / scale) for scale in config(f"{path}.scales"))
    facts = {
        f"{name}.pooled_size": config(f"{path}.output_size"),
        f"{name}.pooled_strides": strides,
        f"{name}.pooling": "max" if kind == "ROIPool" else "align",
    }
    if kind != "ROIPool":
        facts[f"{name}.half_pixel_shift"] = kind == "ROIAlignV2"
        # As many as a cell of the pooled map is wide, where it is 0.
        facts[f"{name}.samples_a_side"] = config(f"{path}.sampling_ratio")
    if len(strides) > 1:
        # Boxes up to twice this side are pooled from the finest map.
        size, level = config(f"{path}.canonical_box_size"), config(f"{path}.canonical_level")
        facts[f"{name}.finest_side"] = size * strides[0] / 2**level
    return facts


def _box_head(config: Resolved, path: str, name: str) -> Facts:
    facts = {f"{name}.fcs": config(f"{path}.fc_dims")}
    if config.kind(path) == "VGGBoxHead":
        return facts | {f"{name}.dropout": config(f"{path}.dropout")}
    return facts | {f"{name}.convs": config(f"{path}.conv_dims")}


def _predictor(config: Resolved, path: str, name: str) -> Facts:
    assert config(f"{path}.num_classes") == config("model.roi_heads.num_classes")
    weight = f"{path}.loss_weight"
    separate = config.is_node(weight)
    facts = {
        f"{name}.class_loss_weight": config(f"{weight}.loss_cls" if separate else weight),
        f"{name}.score_threshold": config(f"{path}.test_score_thresh"),
        f"{name}.nms": config(f"{path}.test_nms_thresh"),
        f"{name}.detections": config(f"{path}.test_topk_per_image"),
    }
    if config.kind(path) == "ClassPredictor":
        return facts
    assert config(f"{path}.box_reg_loss_type") == "smooth_l1"
    return {
        **facts,
        f"{name}.box_loss_weight": config(f"{weight}.loss_box_reg" if separate else weight),
        f"{name}.box_loss": ("smooth L1", config(f"{path}.smooth_l1_beta")),
        f"{name}.class_agnostic": config(f"{path}.cls_agnostic_bbox_reg"),
        **_box_transform(config, f"{path}.box2box_transform", name),
    }


def _box_transform(config: Resolved, path: str, name: str) -> Facts:
    """Detectron2's weights are what deltas are multiplied by, and so the reciprocals of theirs."""
    symmetric = config.kind(path) == "SymmetricBox2BoxTransform"
    return {
        f"{name}.box_stds": tuple(1 / weight for weight in config(f"{path}.weights")),
        f"{name}.max_side_ratio": (
            MAX_SIDE_RATIO if symmetric else math.exp(config(f"{path}.scale_clamp"))
        ),
        f"{name}.shrinking_is_bounded": symmetric,
    }


def _cascade(config: Resolved, path: str) -> Facts:
    """What the stages have in common stands once, the rest by stage."""
    stages = range(config.count(f"{path}.box_predictors"))
    read = [
        {
            **_positives(config, f"{path}.proposal_matchers.{i}", "roi"),
            **_box_head(config, f"{path}.box_heads.{i}", "roi"),
            **_predictor(config, f"{path}.box_predictors.{i}", "roi"),
        }
        for i in stages
    ]
    by_stage = ("roi.positive_iou", "roi.box_stds")
    facts: Facts = {key: tuple(facts[key] for facts in read) for key in by_stage}
    for key in read[0].keys() - set(by_stage):
        (facts[key],) = {stage[key] for stage in read}
    return facts | {"roi.stage_weights": config(f"{path}.stage_loss_weights")}


def _grid(config: Resolved, path: str) -> Facts:
    facts = {
        **_pooler(config, f"{path}.grid_pooler", "grid"),
        "grid.rois_of_an_image": config(f"{path}.max_grid_rois_per_image"),
        "grid.jitter": config(f"{path}.jitter"),
        "grid.clips_between_stages": config(f"{path}.clip_between_stages"),
    }
    stages = [f"{path}.grid_stages.{i}" for i in range(config.count(f"{path}.grid_stages"))]
    tested = config(f"{path}.test_stage")
    facts["grid.tested_stages"] = len(stages) if tested is None else tested
    for key, name in (
        ("mapping_ratio", "grid.region_ratios"),
        ("min_iou", "grid.min_ious"),
        ("loss_weight", "grid.loss_weights"),
    ):
        facts[name] = tuple(config(f"{stage}.{key}") for stage in stages)
    heads = [f"{stage}.head" for stage in stages]
    for stage, head in zip(stages, heads, strict=True):
        points = config(f"{head}.grid_size") ** 2
        groups = config(f"{head}.norm_groups")
        same = {
            "grid.points": points,
            "grid.convs": config(f"{head}.num_convs"),
            "grid.channels_of_a_point": config(f"{head}.point_channels"),
            "grid.norm_groups": 4 * points if groups is None else groups,
            "grid.fusion": config(f"{head}.fusion"),
            "grid.init": config(f"{head}.init"),
            "grid.peak_radius": config(f"{stage}.radius"),
            "grid.min_region": config(f"{stage}.min_region_size"),
            "grid.votes_by_probability": config(f"{stage}.by_probability"),
        }
        assert all(facts.setdefault(key, value) == value for key, value in same.items())
    return facts


def _scores(config: Resolved, path: str) -> Facts:
    """ISM and RSM of CPM R-CNN, as far as they are there."""
    facts: Facts = {}
    ism, rsm = f"{path}.iou_scoring", f"{path}.resampling_scoring"
    facts["ism"] = config.has(ism)
    if facts["ism"]:
        loss = config(f"{ism}.loss")
        facts |= {
            "ism.loss": (loss, config(f"{ism}.beta")) if loss == "smooth_l1" else loss,
            "ism.loss_weight": config(f"{ism}.loss_weight"),
            "ism.fcs": config(f"{ism}.fc_dims"),
            "ism.learns_from": config(f"{path}.iou_target"),
            "ism.learns_from_objects": config(f"{path}.iou_from_objects"),
        }
    facts["rsm"] = config.has(rsm)
    if facts["rsm"]:
        assert config(f"{rsm}.num_classes") == config(f"{path}.num_classes")
        facts |= {
            **_box_head(config, f"{rsm}.head", "rsm"),
            "rsm.samples": config(f"{rsm}.batch_size_per_image"),
            "rsm.positive_fraction": config(f"{rsm}.positive_fraction"),
            "rsm.positive_iou": config(f"{rsm}.min_iou"),
            "rsm.loss_weight": config(f"{rsm}.loss_weight"),
            "rsm.learns_from": config(f"{path}.resampling_positives"),
            "score.gamma": config(f"{path}.score_gamma"),
        }
    return facts


def _dense(config: Resolved) -> Facts:
    """What both one-stage detectors have."""
    assert config("model.head.num_classes") == config("model.num_classes")
    return {
        "dense.classes": config("model.num_classes"),
        "dense.maps": config("model.head_in_features"),
        "dense.score_threshold": config("model.test_score_thresh"),
        "dense.before_nms": config("model.test_topk_candidates"),
        "dense.nms": config("model.test_nms_thresh"),
        "dense.detections": config("model.max_detections_per_image"),
    }


def _retinanet(config: Resolved) -> Facts:
    assert config("model.box_reg_loss_type") == "smooth_l1"
    (channels,) = set(config("model.head.conv_dims"))
    negative, positive = config("model.anchor_matcher.thresholds")
    assert config("model.anchor_matcher.labels") == (0, -1, 1)
    # Detectron2's matcher has an object claim its best anchor however little they overlap.
    claims = config("model.anchor_matcher.allow_low_quality_matches")
    return {
        **_dense(config),
        **read_anchors(config, "model"),
        **_box_transform(config, "model.box2box_transform", "dense"),
        "dense.convs": len(config("model.head.conv_dims")),
        "dense.channels": channels,
        "dense.anchors_per_cell": config("model.head.num_anchors"),
        "dense.class_prior": config("model.head.prior_prob"),
        "dense.positive_iou": positive,
        "dense.negative_iou": negative,
        "dense.min_positive_iou": 0.0 if claims else None,
        "dense.class_loss": (
            "focal",
            config("model.focal_loss_alpha"),
            config("model.focal_loss_gamma"),
        ),
        "dense.box_loss": ("smooth L1", config("model.smooth_l1_beta")),
        # Written into the class: 0.9 of the last value and 0.1 of the batch's.
        "dense.losses_per": "moving average of positives",
    }


def _guided_anchor_retinanet(config: Resolved) -> Facts:
    head = "model.head"
    adaptions = [f"{head}.{kind}_adaption" for kind in ("cls", "box")]
    assert all(config(f"{path}.shape_channels") == 2 for path in adaptions)
    (offset_groups,) = {config(f"{path}.offset_groups") for path in adaptions}
    return {
        **_dense(config),
        **read_guided_anchors(config, "model"),
        "dense.convs": config(f"{head}.num_convs"),
        "dense.channels": config(f"{head}.in_channels"),
        "dense.class_prior": config(f"{head}.class_prior"),
        "dense.in_padding": config("model.propose_in_padding"),
        "head.location_prior": config(f"{head}.location_prior"),
        "head.offset_groups": offset_groups,
    }
