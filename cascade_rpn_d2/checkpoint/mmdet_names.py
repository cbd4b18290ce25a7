"""Names of mmdet's weights, 2.x and 3.x -> Detectron2's and ours. The values are the same.

Detectors of ResNet (bottlenecks or basic blocks) and FPN with Cascade RPN or the baseline RPN, and
Fast, Faster and Cascade R-CNN on top. A generator alone is ``rpn_head`` in 2.x and ``bbox_head``
in 3.x.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_NORM = r"(weight|bias|running_mean|running_var|num_batches_tracked)"
_BOTH = r"(weight|bias)"

Names = tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...]


def _names(*pairs: tuple[str, str | Callable[[re.Match[str]], str]]) -> Names:
    return tuple((re.compile(pattern), ours) for pattern, ours in pairs)


# The stem is Detectron2's first stage, so a layer's number grows by one; a lateral convolution is
# named by the stride of its map, 4 being 2.
TRUNK = _names(
    (r"backbone\.conv1\.weight", "backbone.bottom_up.stem.conv1.weight"),
    (rf"backbone\.bn1\.{_NORM}", r"backbone.bottom_up.stem.conv1.norm.\1"),
    (
        r"backbone\.layer([1-4])\.(\d+)\.conv([1-3])\.weight",
        lambda m: f"backbone.bottom_up.res{int(m[1]) + 1}.{m[2]}.conv{m[3]}.weight",
    ),
    (
        rf"backbone\.layer([1-4])\.(\d+)\.bn([1-3])\.{_NORM}",
        lambda m: f"backbone.bottom_up.res{int(m[1]) + 1}.{m[2]}.conv{m[3]}.norm.{m[4]}",
    ),
    (
        r"backbone\.layer([1-4])\.(\d+)\.downsample\.0\.weight",
        lambda m: f"backbone.bottom_up.res{int(m[1]) + 1}.{m[2]}.shortcut.weight",
    ),
    (
        rf"backbone\.layer([1-4])\.(\d+)\.downsample\.1\.{_NORM}",
        lambda m: f"backbone.bottom_up.res{int(m[1]) + 1}.{m[2]}.shortcut.norm.{m[3]}",
    ),
    (
        rf"neck\.lateral_convs\.(\d+)\.conv\.{_BOTH}",
        lambda m: f"backbone.fpn_lateral{int(m[1]) + 2}.{m[2]}",
    ),
    (
        rf"neck\.fpn_convs\.(\d+)\.conv\.{_BOTH}",
        lambda m: f"backbone.fpn_output{int(m[1]) + 2}.{m[2]}",
    ),
)


def generator_names(head: str, stages: str) -> Names:
    """Names of a proposal generator.

    Args:
        head: pattern of the head's name, without a group.
        stages: what stands between it and the number of a stage of Cascade RPN.
    """
    stage = rf"{head}\.{stages}(\d+)"
    ours = r"proposal_generator.stages.\1"
    return _names(
        (rf"{stage}\.rpn_conv\.conv\.{_BOTH}", rf"{ours}.align.conv.\2"),
        (rf"{stage}\.rpn_cls\.{_BOTH}", rf"{ours}.predictor.objectness.\2"),
        (rf"{stage}\.rpn_reg\.{_BOTH}", rf"{ours}.predictor.deltas.\2"),
        (rf"{head}\.rpn_conv\.{_BOTH}", r"proposal_generator.rpn_head.conv.\1"),
        (rf"{head}\.rpn_cls\.{_BOTH}", r"proposal_generator.rpn_head.objectness_logits.\1"),
        (rf"{head}\.rpn_reg\.{_BOTH}", r"proposal_generator.rpn_head.anchor_deltas.\1"),
    )


def roi_names(head: str) -> Names:
    """Names of a box head of two fully connected layers, or of the stages of Cascade R-CNN.

    Args:
        head: pattern of the head's name, without a group.
    """

    def fully_connected(match: re.Match[str]) -> str:
        return f"roi_heads.box_head.{match[1] or ''}fc{int(match[2]) + 1}.{match[3]}"

    return _names(
        (rf"{head}\.(\d+\.)?shared_fcs\.(\d+)\.{_BOTH}", fully_connected),
        (
            rf"{head}\.(\d+\.)?fc_cls\.{_BOTH}",
            lambda m: f"roi_heads.box_predictor.{m[1] or ''}cls_score.{m[2]}",
        ),
        (
            rf"{head}\.(\d+\.)?fc_reg\.{_BOTH}",
            lambda m: f"roi_heads.box_predictor.{m[1] or ''}bbox_pred.{m[2]}",
        ),
    )


MMDET = (
    *TRUNK,
    *generator_names(r"(?:rpn|bbox)_head", stages=r"stages\."),
    *roi_names(r"roi_head\.bbox_head"),
)


def translate(key: str, names: Names = MMDET) -> str | None:
    """Our name of another framework's weight; None if there is none.

    Args:
        key: a name, such as ``"rpn_head.stages.0.rpn_reg.weight"``.
        names: patterns that must fit the whole name, and what it becomes.
    """
    for pattern, ours in names:
        match = pattern.fullmatch(key)
        if match:
            return ours(match) if callable(ours) else match.expand(ours)
    return None
