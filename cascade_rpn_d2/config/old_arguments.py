"""Configs that were recorded for classes which take other arguments now, as today's configs.

A run records its config, and its weights are read with it for as long as they are kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_MODELING = "cascade_rpn_d2.modeling"


def with_todays_arguments(content: Any) -> Any:
    """A config as plain dicts and lists, with what :data:`OLD_ARGUMENTS` makes of old classes."""
    if isinstance(content, list | tuple):
        return [with_todays_arguments(value) for value in content]
    if not isinstance(content, dict):
        return content
    inner = {key: with_todays_arguments(value) for key, value in content.items()}
    target = inner.get("_target_")
    argument, update = OLD_ARGUMENTS.get(target if isinstance(target, str) else "", ("", dict))
    if argument not in inner:
        return inner
    try:
        return update(inner)
    except (LookupError, TypeError, ValueError, AttributeError):
        return inner  # not what a run recorded; whoever builds it says what is wrong


def _inside_anchor_rpn(old: dict[str, Any]) -> dict[str, Any]:
    """An RPN whose anchors across the border did not compete."""
    return _standard_rpn(old, f"{_MODELING}.StandardRPN", min_positive_iou=1e-6)


def _inclusive_rpn(old: dict[str, Any]) -> dict[str, Any]:
    """An RPN in legacy coordinates, whose anchors across the border were matched first."""
    return _standard_rpn(old, f"{_MODELING}.InclusiveRPN", match_across_border=True)


def _standard_rpn(
    old: dict[str, Any],
    target: str,
    *,
    min_positive_iou: float = 0.0,
    match_across_border: bool = False,
) -> dict[str, Any]:
    """The node of a ``StandardRPN`` from that of an heir of Detectron2's ``RPN``."""
    new = dict(old, _target_=target)
    matcher = new.pop("anchor_matcher")
    negative_iou, positive_iou = matcher["thresholds"]
    border = new.pop("anchor_boundary_thresh", -1)
    weight = new.pop("loss_weight", 1.0)
    weights = weight if isinstance(weight, dict) else dict.fromkeys(_LOSSES, weight)
    claims = min_positive_iou if matcher.get("allow_low_quality_matches") else None
    new["refinement"] = {
        "_target_": f"{_MODELING}.Refinement",
        "box_coder": _box_coder(new.pop("box2box_transform")),
        "assigner": {
            "_target_": f"{_MODELING}.IoUAssigner",
            "positive_iou": positive_iou,
            "negative_iou": negative_iou,
            "min_positive_iou": claims,
            "claims": "label",
        },
        "sampler": {
            "_target_": f"{_MODELING}.RandomSampler",
            "batch_size_per_image": new.pop("batch_size_per_image"),
            "positive_fraction": new.pop("positive_fraction"),
        },
        "box_loss": {
            "_target_": f"{_MODELING}.SmoothL1Loss",
            "beta": new.pop("smooth_l1_beta", 0.0),
        },
        "loc_weight": weights.get("loss_rpn_loc", 1.0),
        "cls_weight": weights.get("loss_rpn_cls", 1.0),
        "border": border if border >= 0 else None,
        "match_across_border": match_across_border,
    }
    return new


_LOSSES = ("loss_rpn_cls", "loss_rpn_loc")


def _box_coder(transform: dict[str, Any]) -> dict[str, Any]:
    """The node of a ``BoxCoder`` from that of a ``box2box_transform``."""
    name = transform["_target_"].rpartition(".")[2]
    if name == "InclusiveBox2BoxTransform":
        coder = _box_coder(transform["transform"])
        return {"_target_": f"{_MODELING}.InclusiveBoxCoder", "coder": coder}
    return {
        "_target_": f"{_MODELING}.BoxCoder",
        "stds": [1 / weight for weight in transform["weights"]],
        "bounds_shrinking": name != "Box2BoxTransform",
    }


def _grid_heads(old: dict[str, Any]) -> dict[str, Any]:
    """ROI heads whose boxes that train the grid had a limit of a GPU's batch.

    Without it they have the limit of an image that was recorded beside it, or none. One of a batch,
    whose size is not recorded, becomes today's of an image; it matters to training alone.
    """
    new = dict(old)
    if new.pop("max_grid_rois_per_batch") is None:
        new.setdefault("max_grid_rois_per_image", None)
    elif new.get("max_grid_rois_per_image") is None:
        new["max_grid_rois_per_image"] = 96
    return new


# Class -> an argument that it has no more, and what makes today's node of one recorded with it.
OLD_ARGUMENTS: dict[str, tuple[str, Callable[[dict[str, Any]], dict[str, Any]]]] = {
    f"{_MODELING}.InsideAnchorRPN": ("anchor_matcher", _inside_anchor_rpn),
    f"{_MODELING}.InclusiveRPN": ("anchor_matcher", _inclusive_rpn),
    f"{_MODELING}.GridROIHeads": ("max_grid_rois_per_batch", _grid_heads),
    f"{_MODELING}.CPMROIHeads": ("max_grid_rois_per_batch", _grid_heads),
}
