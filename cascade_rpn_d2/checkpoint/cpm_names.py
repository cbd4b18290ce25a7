"""Names in the files of CPM R-CNN's authors -> ours.

Detectors of ResNet or ResNeXt and FPN with RPN, and on top either point-guided stages
(``Grid_Cascade_RCNN``) or Cascade R-CNN (``Cascade_RCNN``), with IoU and resampling scores or
without. Class 0 is the background, which has the last place here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from .authors_names import background_to_the_end
from .grid_names import grid_names
from .mmdet_names import BOTH, make_names, resnet_names

_GRID, _CASCADE = r"Grid_Cascade_RCNN", r"Cascade_RCNN"
_SCORES = re.compile(r".*\.cls_score\.(weight|bias)")
_DELTAS = re.compile(r".*\.bbox_pred\.(weight|bias)")
_MERGED_NORM = re.compile(r"(Conv_Body\..*(?:bn\d|downsample\.1))\.weight")

MARK = re.compile(rf"(Conv_Body|Conv_Body_FPN|RPN|{_GRID}|{_CASCADE})\.")

# Lateral convolutions count down from P4; fully connected layers count on from fc6; the stages of
# Cascade R-CNN count from one.
CPM = (
    *resnet_names("Conv_Body"),
    *grid_names(rf"{_GRID}\.Head_grid_(?P<stage>\d+)", rf"{_GRID}\.Output_grid_(?P<stage>\d+)"),
    *make_names(
        (rf"Conv_Body_FPN\.p5_in\.{BOTH}", r"backbone.fpn_lateral5.\1"),
        (rf"Conv_Body_FPN\.p5_out\.{BOTH}", r"backbone.fpn_output5.\1"),
        (
            rf"Conv_Body_FPN\.fpn_in\.([0-2])\.{BOTH}",
            lambda m: f"backbone.fpn_lateral{4 - int(m[1])}.{m[2]}",
        ),
        (
            rf"Conv_Body_FPN\.fpn_out\.([0-2])\.{BOTH}",
            lambda m: f"backbone.fpn_output{4 - int(m[1])}.{m[2]}",
        ),
        (rf"RPN\.head\.conv\.{BOTH}", r"proposal_generator.rpn_head.conv.\1"),
        (rf"RPN\.head\.cls_logits\.{BOTH}", r"proposal_generator.rpn_head.objectness_logits.\1"),
        (rf"RPN\.head\.bbox_pred\.{BOTH}", r"proposal_generator.rpn_head.anchor_deltas.\1"),
        (
            rf"{_GRID}\.Head_cls\.fc([67])\.{BOTH}",
            lambda m: f"roi_heads.box_head.fc{int(m[1]) - 5}.{m[2]}",
        ),
        (rf"{_GRID}\.Output_cls\.cls_score\.{BOTH}", r"roi_heads.box_predictor.cls_score.\1"),
        (
            rf"{_CASCADE}\.Box_Head_(\d+)\.fc([67])\.{BOTH}",
            lambda m: f"roi_heads.box_head.{int(m[1]) - 1}.fc{int(m[2]) - 5}.{m[3]}",
        ),
        (
            rf"{_CASCADE}\.Output_(\d+)\.(cls_score|bbox_pred)\.{BOTH}",
            lambda m: f"roi_heads.box_predictor.{int(m[1]) - 1}.{m[2]}.{m[3]}",
        ),
        # Only the last stage has them.
        (
            rf"(?:{_GRID}\.Output_grid|{_CASCADE}\.Output)_\d+\.iou_fc([12])\.{BOTH}",
            lambda m: f"roi_heads.iou_scoring.fcs.{int(m[1]) - 1}.{m[2]}",
        ),
        (
            rf"(?:{_GRID}\.Output_grid|{_CASCADE}\.Output)_\d+\.iou_pred\.{BOTH}",
            r"roi_heads.iou_scoring.iou_pred.\1",
        ),
        (
            rf"(?:{_GRID}|{_CASCADE})\.Head_rescore\.fc([67])\.{BOTH}",
            lambda m: f"roi_heads.resampling_scoring.head.fc{int(m[1]) - 5}.{m[2]}",
        ),
        (
            rf"(?:{_GRID}|{_CASCADE})\.Output_rescore\.cls_score\.{BOTH}",
            r"roi_heads.resampling_scoring.cls_score.\1",
        ),
    ),
)

# Pattern of a name -> why a model of ours has no place for it.
LEFT_OUT = {
    r"RPN\.anchor_generator\.cell_anchors\.\d+": "anchors of a cell, which the config says",
    r"Norm\.(weight|bias)": "pixel mean and deviation, which the config says",
}


def is_cpm(keys: Iterable[str]) -> bool:
    """Whether names are those of CPM R-CNN's code; a ``module.`` in front does not matter."""
    return any(MARK.match(key.removeprefix("module.")) for key in keys)


def in_our_order(key: str, value: Tensor) -> Tensor:
    """A weight with the background, class 0 of K + 1, at the place that Detectron2 has it.

    Args:
        key: the authors' name. Scores get the background's row moved to the end. Deltas of RPN stay
            as they are; those of Cascade R-CNN lose the background's four rows, also where they are
            of no class in particular, which have eight.
        value: (R, C) weights or (R,) biases.
    """
    if key.startswith("RPN."):
        return value
    if _SCORES.fullmatch(key):
        return background_to_the_end(value)
    return value[4:] if _DELTAS.fullmatch(key) else value


def with_statistics(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict with statistics for the norms of its trunk.

    Training starts by merging them into scale and shift, which alone are stored. The authors' test
    then divides by a deviation of 1 and an epsilon of 1e-5 again, which a mean of 0 and a variance
    of 1 do here as well.
    """
    complete = {}
    for key, value in state.items():
        complete[key] = value
        match = _MERGED_NORM.fullmatch(key)
        if match is not None:
            for name, fill in (("running_mean", 0.0), ("running_var", 1.0)):
                statistic = f"{match[1]}.{name}"
                if statistic not in state:
                    complete[statistic] = torch.full_like(value, fill)
    return complete
