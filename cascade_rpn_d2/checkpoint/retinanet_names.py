"""Names of mmdet's RetinaNet and GA-RetinaNet, in all versions -> Detectron2's and ours.

The two call layers alike that are called differently here, and their necks begin with P3.
"""

from __future__ import annotations

import re

from torch import Tensor

from .mmdet_names import BOTH, TRUNK, make_names

DELTAS = "bbox_head.retina_reg.weight"

_NECK = make_names(
    (
        rf"neck\.lateral_convs\.([0-2])\.conv\.{BOTH}",
        lambda m: f"backbone.fpn_lateral{int(m[1]) + 3}.{m[2]}",
    ),
    (
        rf"neck\.fpn_convs\.([0-2])\.conv\.{BOTH}",
        lambda m: f"backbone.fpn_output{int(m[1]) + 3}.{m[2]}",
    ),
    (
        rf"neck\.fpn_convs\.([34])\.conv\.{BOTH}",
        lambda m: f"backbone.top_block.p{int(m[1]) + 3}.{m[2]}",
    ),
)

# A tower has a ReLU after each convolution, which counts here.
RETINANET = (
    *_NECK,
    *TRUNK,
    *make_names(
        (
            rf"bbox_head\.cls_convs\.(\d)\.conv\.{BOTH}",
            lambda m: f"head.cls_subnet.{2 * int(m[1])}.{m[2]}",
        ),
        (
            rf"bbox_head\.reg_convs\.(\d)\.conv\.{BOTH}",
            lambda m: f"head.bbox_subnet.{2 * int(m[1])}.{m[2]}",
        ),
        (rf"bbox_head\.retina_cls\.{BOTH}", r"head.cls_score.\1"),
        (rf"bbox_head\.retina_reg\.{BOTH}", r"head.bbox_pred.\1"),
    ),
)
GUIDED_RETINANET = (
    *_NECK,
    *TRUNK,
    *make_names(
        (
            rf"bbox_head\.cls_convs\.(\d)\.conv\.{BOTH}",
            lambda m: f"head.cls_tower.{2 * int(m[1])}.{m[2]}",
        ),
        (
            rf"bbox_head\.reg_convs\.(\d)\.conv\.{BOTH}",
            lambda m: f"head.box_tower.{2 * int(m[1])}.{m[2]}",
        ),
        (rf"bbox_head\.conv_loc\.{BOTH}", r"head.location.\1"),
        (rf"bbox_head\.conv_shape\.{BOTH}", r"head.shape.\1"),
        (
            r"bbox_head\.feature_adaption_cls\.conv_offset\.weight",
            "head.cls_adaption.offset.weight",
        ),
        (
            r"bbox_head\.feature_adaption_cls\.conv_adaption\.weight",
            "head.cls_adaption.conv.weight",
        ),
        (
            r"bbox_head\.feature_adaption_reg\.conv_offset\.weight",
            "head.box_adaption.offset.weight",
        ),
        (
            r"bbox_head\.feature_adaption_reg\.conv_adaption\.weight",
            "head.box_adaption.conv.weight",
        ),
        (rf"bbox_head\.retina_cls\.{BOTH}", r"head.class_logits.\1"),
        (rf"bbox_head\.retina_reg\.{BOTH}", r"head.deltas.\1"),
    ),
)

_LAST = re.compile(r"bbox_head\.retina_(cls|reg)\.(weight|bias)")
_SIZES, _RATIOS = 3, 3


def sizes_first(key: str, value: Tensor, num_anchors: int) -> Tensor:
    """A weight of RetinaNet with the anchors of a cell in Detectron2's order.

    mmdet has all sizes in the first aspect ratio first, Detectron2 the first size in all ratios.

    Args:
        key: mmdet's name. Scores and deltas get their rows reordered, everything else stays as it
            is.
        value: (A*R, ...), R rows for each anchor.
        num_anchors: A.

    Raises:
        ValueError: if there are not nine anchors, the only number whose order is known.
    """
    if not _LAST.fullmatch(key):
        return value
    if num_anchors != _SIZES * _RATIOS:
        raise ValueError(
            f"it has {num_anchors} anchors a cell, whose order it does not tell: only RetinaNets "
            "with three sizes in three aspect ratios can be converted."
        )
    return value.unflatten(0, (_RATIOS, _SIZES, -1)).transpose(0, 1).flatten(0, 2)
