"""The geometries that published weights are made for, and whether a model has the same.

Weights fit a model by name and shape whatever its geometry is, and would then detect with boxes
that are half a cell off; so anchors and pooling are checked. Source: the released codes, see the
facts in :data:`MMDET`, :data:`AUTHORS`, :data:`PLUS` and :data:`CPM`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from detectron2.modeling.backbone.fpn import LastLevelP6P7
from torch import nn

from ..modeling import InclusiveRCNN, LastLevelP6P7WithoutReLU
from ..modeling.inclusive import AnchorRounding
from .cpm_names import MARK as CPM_MARK


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
        anchor_rounding: how the anchors of :class:`~cascade_rpn_d2.modeling.inclusive` are rounded,
            whose boxes name their last pixel; None where boxes are given by their edges.
        pools_to_edges: whether these boxes are pooled up to their edges; None likewise.
    """

    name: str
    anchor_offset: float
    aligned_pooling: bool
    sampling_ratio: int
    configs: str
    needs: str
    anchor_rounding: AnchorRounding | None = None
    pools_to_edges: bool | None = None


MMDET = World(
    name="mmdet >= 2",
    anchor_offset=0.0,
    aligned_pooling=True,
    sampling_ratio=0,
    configs="a config in cascade_rpn/ or guided_anchoring/ itself",
    needs="anchor offset 0.0, pooler ROIAlignV2 with sampling ratio 0; the published R-50 caffe "
    "files: BGR, pixel mean 103.53 116.28 123.675, deviation 1, stride in the 1x1; Grid R-CNN's: "
    "RGB, pixel mean 123.675 116.28 103.53, deviation 58.395 57.12 57.375, stride in the 3x3",
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
PLUS = World(
    name="Grid R-CNN Plus or mmdet 1.x's Grid R-CNN",
    anchor_offset=0.0,
    aligned_pooling=True,  # by the pooler itself, which undoes it
    sampling_ratio=2,
    configs="a config in grid_rcnn/authors/",
    needs="use_grid_authors_geometry, RGB, pixel mean 123.675 116.28 103.53, deviation 58.395 "
    "57.12 57.375, stride in the 3x3",
    anchor_rounding="corners",
    pools_to_edges=True,
)
CPM = World(
    name="CPM R-CNN's code",
    anchor_offset=0.0,
    aligned_pooling=False,
    sampling_ratio=2,
    configs="a config in cpm_rcnn/authors/",
    needs="use_cpm_authors_geometry, BGR, pixel mean 102.9801 115.9465 122.7717, deviation 1, "
    "stride in the 1x1 of ResNets and in the 3x3 of ResNeXts",
    anchor_rounding="sides",
    pools_to_edges=False,
)

_BOXES = {
    None: "are given by their edges",
    "corners": "name their last pixel and whose anchors are rounded at their corners",
    "sides": "name their last pixel and whose anchors have rounded sides",
}

# Names that only one of the worlds has; a baseline RPN or GA-RPN in a file of its own and a
# RetinaNet can be of MMDET or of AUTHORS. PLUS has those of AUTHORS besides its own.
_MARKS = (
    (MMDET, re.compile(r"roi_head\.|(rpn|bbox)_head\.stages\.|bbox_head\.rpn_")),
    (AUTHORS, re.compile(r"rpn_head\.\d|bbox_head\.(\d+\.)?(shared_fcs|fc_cls|fc_reg)\.")),
    (PLUS, re.compile(r"grid_head\.")),
    (CPM, CPM_MARK),
)


def world_of(keys: Iterable[str]) -> World | None:
    """The world that names of weights belong to; None if they do not tell.

    Raises:
        ValueError: if they are of several, as mmdet's script that upgrades files leaves them.
    """
    first: dict[World, str] = {}
    for key in keys:
        for world, mark in _MARKS:
            if mark.match(key):
                first.setdefault(world, key)
    if PLUS in first:
        first.pop(AUTHORS, None)
    if MMDET in first and len(first) > 1:
        other = next(key for world, key in first.items() if world is not MMDET)
        raise ValueError(
            f"it has '{first[MMDET]}' of mmdet >= 2 beside '{other}' of an older code, as mmdet's "
            "upgrade script leaves it, which spoils biases: give the original file."
        )
    if len(first) > 1:
        (_, one), (_, other) = list(first.items())[:2]
        raise ValueError(
            f"it has '{one}' beside '{other}', which are of different codes: save the weights of "
            "one model alone."
        )
    return next(iter(first), None)


def require_geometry(world: World, model: nn.Module) -> None:
    """Make sure that a model has the geometry of the weights it is to get.

    Args:
        world: of the weights.
        model: a model of Detectron2; what it lacks, a generator or ROI heads, is not looked at.

    Raises:
        ValueError: if boxes, anchors or pooling are of another world; says which configs to use.
    """
    use = f"use {world.configs}"
    anchors = getattr(getattr(model, "proposal_generator", None), "anchor_generator", None)
    if isinstance(model, InclusiveRCNN) != (world.anchor_rounding is not None) or (
        anchors is not None and getattr(anchors, "rounding", None) != world.anchor_rounding
    ):
        raise ValueError(
            f"it is of {world.name}, whose boxes {_BOXES[world.anchor_rounding]}, unlike those of "
            f"the config: {use}."
        )
    # Adaptive convolutions need no look: CascadeRPN makes sure that they follow the anchors.
    offset = getattr(anchors, "offset", None)
    if offset is not None and offset != world.anchor_offset:
        raise ValueError(
            f"it is of {world.name}, which centres anchors at {world.anchor_offset} of a stride "
            f"in a cell, not at {offset} as the config does: {use}."
        )
    heads = getattr(model, "roi_heads", None)
    for pooler in (getattr(heads, "box_pooler", None), getattr(heads, "grid_pooler", None)):
        if pooler is not None:
            _require_pooling(world, pooler, use)


def _require_pooling(world: World, pooler: nn.Module, use: str) -> None:
    if getattr(pooler, "to_edges", None) != world.pools_to_edges:
        raise ValueError(
            f"it is of {world.name}, which pools other parts of its boxes than the config does: "
            f"{use}."
        )
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
