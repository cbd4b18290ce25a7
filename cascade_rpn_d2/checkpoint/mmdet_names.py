"""Names of mmdet's weights, 2.x and 3.x -> Detectron2's and ours. The values are the same.

Detectors of ResNet (bottlenecks or basic blocks) and FPN with Cascade RPN, GA-RPN or the baseline
RPN, and Fast, Faster and Cascade R-CNN on top. A generator alone is ``rpn_head`` in 2.x and
``bbox_head`` in 3.x. Detectors of one stage are in :mod:`.retinanet_names`.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_NORM = r"(weight|bias|running_mean|running_var|num_batches_tracked)"
BOTH = r"(weight|bias)"
_HEAD = r"(?:rpn|bbox)_head"
_LOCATION = re.compile(rf"{_HEAD}\.conv_loc\.")

Names = tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...]


def make_names(*pairs: tuple[str, str | Callable[[re.Match[str]], str]]) -> Names:
    """Names from pairs of a pattern, which must fit a whole name, and what the name becomes."""
    return tuple((re.compile(pattern), ours) for pattern, ours in pairs)


def resnet_names(body: str) -> Names:
    """Names of a ResNet or ResNeXt, with deformable convolutions or without.

    Args:
        body: pattern of its name, without a group.
    """

    def block(match: re.Match[str]) -> str:
        # The stem is Detectron2's first stage, so a layer's number grows by one.
        return f"backbone.bottom_up.res{int(match[1]) + 1}.{match[2]}"

    layer = rf"{body}\.layer([1-4])\.(\d+)"
    return make_names(
        (rf"{body}\.conv1\.weight", "backbone.bottom_up.stem.conv1.weight"),
        (rf"{body}\.bn1\.{_NORM}", r"backbone.bottom_up.stem.conv1.norm.\1"),
        (rf"{layer}\.conv([1-3])\.weight", lambda m: f"{block(m)}.conv{m[3]}.weight"),
        (rf"{layer}\.bn([1-3])\.{_NORM}", lambda m: f"{block(m)}.conv{m[3]}.norm.{m[4]}"),
        (rf"{layer}\.conv2\.conv_offset\.{BOTH}", lambda m: f"{block(m)}.conv2_offset.{m[3]}"),
        (rf"{layer}\.downsample\.0\.weight", lambda m: f"{block(m)}.shortcut.weight"),
        (rf"{layer}\.downsample\.1\.{_NORM}", lambda m: f"{block(m)}.shortcut.norm.{m[3]}"),
    )


# A lateral convolution is named by the stride of its map, 4 being 2.
TRUNK = (
    *resnet_names("backbone"),
    *make_names(
        (
            rf"neck\.lateral_convs\.(\d+)\.conv\.{BOTH}",
            lambda m: f"backbone.fpn_lateral{int(m[1]) + 2}.{m[2]}",
        ),
        (
            rf"neck\.fpn_convs\.(\d+)\.conv\.{BOTH}",
            lambda m: f"backbone.fpn_output{int(m[1]) + 2}.{m[2]}",
        ),
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
    return make_names(
        (rf"{stage}\.rpn_conv\.conv\.{BOTH}", rf"{ours}.align.conv.\2"),
        (rf"{stage}\.rpn_cls\.{BOTH}", rf"{ours}.predictor.objectness.\2"),
        (rf"{stage}\.rpn_reg\.{BOTH}", rf"{ours}.predictor.deltas.\2"),
        (rf"{head}\.rpn_conv\.{BOTH}", r"proposal_generator.rpn_head.conv.\1"),
        (rf"{head}\.rpn_cls\.{BOTH}", r"proposal_generator.rpn_head.objectness_logits.\1"),
        (rf"{head}\.rpn_reg\.{BOTH}", r"proposal_generator.rpn_head.anchor_deltas.\1"),
    )


def roi_names(head: str) -> Names:
    """Names of a box head of two fully connected layers, or of the stages of Cascade R-CNN.

    Args:
        head: pattern of the head's name, without a group.
    """

    def fully_connected(match: re.Match[str]) -> str:
        return f"roi_heads.box_head.{match[1] or ''}fc{int(match[2]) + 1}.{match[3]}"

    return make_names(
        (rf"{head}\.(\d+\.)?shared_fcs\.(\d+)\.{BOTH}", fully_connected),
        (
            rf"{head}\.(\d+\.)?fc_cls\.{BOTH}",
            lambda m: f"roi_heads.box_predictor.{m[1] or ''}cls_score.{m[2]}",
        ),
        (
            rf"{head}\.(\d+\.)?fc_reg\.{BOTH}",
            lambda m: f"roi_heads.box_predictor.{m[1] or ''}bbox_pred.{m[2]}",
        ),
    )


# GA-RPN, in all versions. Its first layer has the name that the baseline's has.
GUIDED = make_names(
    (rf"{_HEAD}\.rpn_conv\.{BOTH}", r"proposal_generator.head.conv.\1"),
    (rf"{_HEAD}\.conv_loc\.{BOTH}", r"proposal_generator.head.location.\1"),
    (rf"{_HEAD}\.conv_shape\.{BOTH}", r"proposal_generator.head.shape.\1"),
    (
        rf"{_HEAD}\.feature_adaption\.conv_offset\.weight",
        "proposal_generator.head.adaption.offset.weight",
    ),
    (
        rf"{_HEAD}\.feature_adaption\.conv_adaption\.weight",
        "proposal_generator.head.adaption.conv.weight",
    ),
    (rf"{_HEAD}\.conv_cls\.{BOTH}", r"proposal_generator.head.predictor.objectness.\1"),
    (rf"{_HEAD}\.conv_reg\.{BOTH}", r"proposal_generator.head.predictor.deltas.\1"),
)

MMDET = (
    *TRUNK,
    *generator_names(_HEAD, stages=r"stages\."),
    *roi_names(r"roi_head\.bbox_head"),
)


def is_location(key: str) -> bool:
    """Whether a name is of the convolution of a location branch, which only guided heads have."""
    return _LOCATION.match(key) is not None


def translate(key: str, names: Names = MMDET) -> str | None:
    """Our name of another framework's weight; None if there is none.

    Args:
        key: a name, such as ``"rpn_head.stages.0.rpn_reg.weight"``.
        names: patterns, of which the first that fits the whole name counts, and what it becomes.
    """
    for pattern, ours in names:
        match = pattern.fullmatch(key)
        if match:
            return ours(match) if callable(ours) else match.expand(ours)
    return None
