"""The two geometries that published weights are made for, and whether a model has the same.

Weights fit a model by name and shape whatever its geometry is, and would then detect with boxes
that are half a cell off; so anchors and pooling are checked. Source: the released codes, see the
facts in :data:`MMDET` and :data:`AUTHORS`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from detectron2.modeling.backbone.fpn import LastLevelP6P7
from torch import nn

from ..modeling import LastLevelP6P7WithoutReLU


@dataclass(frozen=True)
class World:
    """What a framework takes for granted about boxes.

    Args:
        name: of the framework.
        anchor_offset: where in a cell an anchor is centred, in strides.
        aligned_pooling: whether RoIAlign shifts by half a pixel (``"ROIAlignV2"``).
        sampling_ratio: of RoIAlign, 0 for as many samples as fit.
        configs: where the zoo has configs of it.
        needs: what else a config must have for its published files.
    """

    name: str
    anchor_offset: float
    aligned_pooling: bool
    sampling_ratio: int
    configs: str
    needs: str


MMDET = World(
    name="mmdet >= 2",
    anchor_offset=0.0,
    aligned_pooling=True,
    sampling_ratio=0,
    configs="a config in cascade_rpn/ or guided_anchoring/ itself",
    needs="anchor offset 0.0, pooler ROIAlignV2 with sampling ratio 0; the published R-50 caffe "
    "files: BGR, pixel mean 103.53 116.28 123.675, deviation 1, stride in the 1x1",
)
AUTHORS = World(
    name="mmdet 1.x or the authors' code",
    anchor_offset=0.5,
    aligned_pooling=False,
    sampling_ratio=2,
    configs="a config in cascade_rpn/authors/, or for a baseline the overrides "
    "model.proposal_generator.anchor_generator.offset=0.5 "
    "model.roi_heads.box_pooler.pooler_type=ROIAlign model.roi_heads.box_pooler.sampling_ratio=2",
    needs="anchor offset 0.5, pooler ROIAlign with sampling ratio 2; the authors' files: BGR, "
    "pixel mean 102.9801 115.9465 122.7717, deviation 1, stride in the 1x1, but Cascade R-CNN: "
    "RGB, pixel mean 123.675 116.28 103.53, deviation 58.395 57.12 57.375, stride in the 3x3",
)

# Names that only one of the two worlds has; a baseline RPN or GA-RPN in a file of its own and a
# RetinaNet can be of either.
_MARKS = {
    MMDET.name: re.compile(r"roi_head\.|(rpn|bbox)_head\.stages\.|bbox_head\.rpn_"),
    AUTHORS.name: re.compile(r"rpn_head\.\d|bbox_head\.(\d+\.)?(shared_fcs|fc_cls|fc_reg)\."),
}


def world_of(keys: Iterable[str]) -> World | None:
    """The world that names of weights belong to; None if they do not tell.

    Raises:
        ValueError: if they are of both, as mmdet's script that upgrades files leaves them.
    """
    first: dict[str, str] = {}
    for key in keys:
        for name, mark in _MARKS.items():
            if mark.match(key):
                first.setdefault(name, key)
    if len(first) > 1:
        raise ValueError(
            f"it has '{first[MMDET.name]}' of mmdet >= 2 beside '{first[AUTHORS.name]}' of 1.x, as "
            "mmdet's upgrade script leaves it, which spoils biases: give the original file."
        )
    return next((world for world in (MMDET, AUTHORS) if world.name in first), None)


def require_geometry(world: World, model: nn.Module) -> None:
    """Make sure that a model has the geometry of the weights it is to get.

    Args:
        world: of the weights.
        model: a model of Detectron2; what it lacks, a generator or ROI heads, is not looked at.

    Raises:
        ValueError: if anchors or pooling are of the other world; says which configs to use.
    """
    use = f"use {world.configs}"
    generator = getattr(model, "proposal_generator", None)
    # Adaptive convolutions need no look: CascadeRPN makes sure that they follow the anchors.
    offset = getattr(getattr(generator, "anchor_generator", None), "offset", None)
    if offset is not None and offset != world.anchor_offset:
        raise ValueError(
            f"it is of {world.name}, which centres anchors at {world.anchor_offset} of a stride "
            f"in a cell, not at {offset} as the config does: {use}."
        )
    pooler = getattr(getattr(model, "roi_heads", None), "box_pooler", None)
    for level in getattr(pooler, "level_poolers", ()):
        aligned = getattr(level, "aligned", None)
        if aligned is not None and aligned != world.aligned_pooling:
            types = {True: "ROIAlignV2", False: "ROIAlign"}
            raise ValueError(
                f"it is of {world.name}, which pools as {types[world.aligned_pooling]} does, not "
                f"as {types[aligned]}, which the config has: {use}."
            )
        ratio = getattr(level, "sampling_ratio", world.sampling_ratio)
        if ratio != world.sampling_ratio:
            raise ValueError(
                f"it is of {world.name}, which pools with sampling ratio {world.sampling_ratio}, "
                f"not {ratio} as the config does: {use}."
            )


def require_plain_p7(model: nn.Module) -> None:
    """Make sure that a model makes P7 of P6 as mmdet's RetinaNets do, in both worlds.

    Args:
        model: a RetinaNet.

    Raises:
        ValueError: if there is a ReLU between, as Detectron2 has it.
    """
    top_block = getattr(getattr(model, "backbone", None), "top_block", None)
    if isinstance(top_block, LastLevelP6P7) and not isinstance(top_block, LastLevelP6P7WithoutReLU):
        raise ValueError(
            "it is of mmdet, which has no ReLU between P6 and P7 as the config does: set "
            "model.backbone.top_block to LastLevelP6P7WithoutReLU."
        )
