"""Facts of what proposes boxes: anchors, stages, guided anchors, what is kept."""

from __future__ import annotations

from cascade_rpn_d2.modeling import SigmoidFocalLoss

from .read_run import Facts
from .resolved import Resolved

# What a location is learned by unless a config has another loss.
_FOCAL = ("focal", SigmoidFocalLoss().alpha, SigmoidFocalLoss().gamma)


def read_generator(config: Resolved) -> Facts:
    """Of a generator of proposals; nothing for a Fast R-CNN, which has none."""
    path = "model.proposal_generator"
    if not config.has(path):
        return {}
    kind = config.kind(path)
    facts: Facts = {"proposals.kind": kind}
    if kind == "StandardRPN":
        facts |= {
            **read_anchors(config, path),
            **_refinement(config, f"{path}.refinement", "rpn"),
            "rpn.channels": config(f"{path}.head.in_channels"),
            "rpn.convs": len(config(f"{path}.head.conv_dims")),
            "rpn.anchors_per_cell": config(f"{path}.head.num_anchors"),
            # In pixels of the image before it is resized.
            "proposals.min_original_size": config(f"{path}.min_original_size"),
        }
    elif kind == "CascadeRPN":
        facts |= read_anchors(config, path)
        for index in range(config.count(f"{path}.stages")):
            facts |= _stage(config, f"{path}.stages.{index}", f"stage{index + 1}")
    else:
        assert kind == "GuidedAnchorRPN"
        facts |= read_guided_anchors(config, path)
        head = f"{path}.head"
        numbers = {"size": 2, "box": 4, "none": 0}[config(f"{head}.shape")]
        assert config(f"{head}.adaption.shape_channels") == numbers
        facts |= {
            "head.channels": config(f"{head}.in_channels"),
            "head.anchors_per_cell": config(f"{head}.num_anchors"),
            "head.predicts_location": config(f"{head}.location"),
            "head.location_prior": config(f"{head}.location_prior"),
            "head.shape_numbers": numbers,
            "head.offset_groups": config(f"{head}.adaption.offset_groups"),
        }
    return facts | _selection(config, path)


def read_guided_anchors(config: Resolved, owner: str) -> Facts:
    """Of GA-RPN, or of GA-RetinaNet: squares, their shapes, where they are, what is on them."""
    location = f"{owner}.location_loss"
    return {
        **read_anchors(config, owner),
        **_refinement(config, f"{owner}.shape", "shape", scores=False),
        **_refinement(config, f"{owner}.refinement", "anchors"),
        **_assigner(config, f"{location}.assigner", "location"),
        "location.loss": _loss(config, f"{location}.loss", _FOCAL),
        "location.negative_weight": config(f"{location}.negative_weight"),
        "location.cells_per_unit": config(f"{location}.cells_per_unit"),
        "location.loss_weight": config(f"{location}.weight"),
        "location.threshold": config(f"{owner}.location_threshold"),
    }


def read_anchors(config: Resolved, owner: str) -> Facts:
    """Of an anchor generator: sides of squares of their area, by level."""
    path = f"{owner}.anchor_generator"
    return {
        "anchors.sizes": config(f"{path}.sizes"),
        "anchors.ratios": config(f"{path}.aspect_ratios"),
        "anchors.strides": config(f"{path}.strides"),
        "anchors.offset": config(f"{path}.offset"),
    }


def _selection(config: Resolved, path: str) -> Facts:
    train_before, test_before = config(f"{path}.pre_nms_topk")
    train_after, test_after = config(f"{path}.post_nms_topk")
    facts: Facts = {}
    if config(f"{path}.propose_in_training"):
        facts = {
            "proposals.train_before_nms": train_before,
            "proposals.train_count": train_after,
        }
    return facts | {
        "proposals.maps": config(f"{path}.in_features"),
        "proposals.test_before_nms": test_before,
        "proposals.test_count": test_after,
        "proposals.nms": config(f"{path}.nms_thresh"),
        "proposals.nms_across_levels": config(f"{path}.nms_across_levels"),
        "proposals.min_size": config(f"{path}.min_box_size"),
        "proposals.in_padding": config(f"{path}.propose_in_padding"),
        "images.divisor": config(f"{path}.size_divisibility"),
    }


def _stage(config: Resolved, path: str, name: str) -> Facts:
    """Of one stage of Cascade RPN."""
    align = f"{path}.align"
    scores = config(f"{path}.predictor.objectness")
    facts = {
        f"{name}.alignment": config.kind(align),
        f"{name}.channels": config(f"{align}.in_channels"),
        f"{name}.out_channels": config(f"{align}.out_channels"),
        f"{name}.anchors_per_cell": config(f"{path}.predictor.num_anchors"),
        f"{name}.scores": scores,
        f"{name}.hands_on_features": config(f"{path}.bridge"),
        **_refinement(config, path, name, scores=scores),
    }
    if config.kind(align) == "ConvAlignment":
        facts[f"{name}.dilation"] = config(f"{align}.dilation")
    if config.kind(align) == "AdaptiveAlignment":
        facts[f"{name}.center_offset"] = config(f"{align}.center_offset")
        facts[f"{name}.follows_shapes"] = not config(f"{align}.center_only")
    if scores:
        facts[f"{name}.score_prior"] = config(f"{path}.predictor.prior_probability")
    return facts


def _refinement(config: Resolved, path: str, name: str, scores: bool = True) -> Facts:
    """What is learned of boxes: coding, matching, sampling, losses."""
    facts = {
        f"{name}.box_stds": config(f"{path}.box_coder.stds"),
        f"{name}.max_side_ratio": config(f"{path}.box_coder.max_side_ratio"),
        f"{name}.shrinking_is_bounded": config(f"{path}.box_coder.bounds_shrinking"),
        f"{name}.border": config(f"{path}.border"),
        **_assigner(config, f"{path}.assigner", name),
        **_sampler(config, f"{path}.sampler", name),
        f"{name}.box_loss": _loss(config, f"{path}.box_loss"),
        f"{name}.box_loss_weight": config(f"{path}.loc_weight"),
    }
    if config(f"{path}.border") is not None:  # or none is across it
        facts[f"{name}.match_across_border"] = config(f"{path}.match_across_border")
    if scores:
        facts[f"{name}.class_loss"] = _loss(config, f"{path}.cls_loss", "cross entropy")
        facts[f"{name}.class_loss_weight"] = config(f"{path}.cls_weight")
    return facts


def _assigner(config: Resolved, path: str, name: str) -> Facts:
    kind = config.kind(path)
    if kind == "RegionAssigner":
        # Where in a cell anchors are centred, half a stride inside with such edges.
        halves, center = config(f"{path}.legacy_edges"), config(f"{path}.center_offset")
        return {
            f"{name}.center_ratio": config(f"{path}.center_ratio"),
            f"{name}.ignore_ratio": config(f"{path}.ignore_ratio"),
            f"{name}.level_scale": config(f"{path}.anchor_scale"),
            f"{name}.ignored_on_adjacent_levels": config(f"{path}.adjacent"),
            f"{name}.overlapping_objects": config(f"{path}.overlap"),
            f"{name}.keeps_far_border": config(f"{path}.keep_border") or halves,
            f"{name}.edges_at_half_cells": halves,
            f"{name}.cell_center": 0.5 * halves if center is None else center,
        }
    facts = {
        f"{name}.positive_iou": config(f"{path}.positive_iou"),
        f"{name}.negative_iou": config(f"{path}.negative_iou"),
        f"{name}.min_positive_iou": config(f"{path}.min_positive_iou"),
    }
    if kind == "VariableIoUAssigner":
        facts[f"{name}.tried_scales"] = config(f"{path}.octave_scales")
        facts[f"{name}.tried_ratios"] = config(f"{path}.aspect_ratios")
    else:
        assert kind == "IoUAssigner"
        facts[f"{name}.claimed_boxes"] = config(f"{path}.claims")
    return facts


def _sampler(config: Resolved, path: str, name: str) -> Facts:
    kind = config.kind(path)
    if kind == "RandomSampler":
        return {
            f"{name}.samples": config(f"{path}.batch_size_per_image"),
            f"{name}.positive_fraction": config(f"{path}.positive_fraction"),
            f"{name}.losses_per": "sample",
        }
    if kind == "AllSampler":
        return {f"{name}.losses_per": f"1/{config(f'{path}.boxes_per_unit'):g} of all boxes"}
    assert kind == "DenseSampler"
    return {f"{name}.losses_per": "positive"}


def _loss(config: Resolved, path: str, default: tuple | str | None = None) -> tuple | str:
    """Name and numbers of a loss; the default where the config has None."""
    if not config.has(path):
        assert config(path) is None and default is not None
        return default
    kind = config.kind(path)
    if kind == "SmoothL1Loss":
        return ("smooth L1", config(f"{path}.beta"))
    if kind == "BoundedIoULoss":
        return ("bounded IoU", config(f"{path}.beta"))
    if kind == "IoULoss":
        return ("IoU", config(f"{path}.mode"))
    if kind == "SigmoidFocalLoss":
        return ("focal", config(f"{path}.alpha"), config(f"{path}.gamma"))
    assert kind == "BinaryCrossEntropyLoss"
    return "cross entropy"
