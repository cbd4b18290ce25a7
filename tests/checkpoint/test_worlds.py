"""Weights of one geometry are not given to a model of the other."""

from __future__ import annotations

import pytest
import torch
from detectron2.modeling.backbone.fpn import LastLevelP6P7

from cascade_rpn_d2.checkpoint.worlds import (
    AUTHORS,
    CPM,
    MMDET,
    PLUS,
    require_geometry,
    require_plain_p7,
    world_of,
)
from cascade_rpn_d2.model_zoo import instantiate_model
from tests.checkpoint.models import config_of, model_of

WORLDS = [(MMDET, False), (AUTHORS, True)]
NAMES = [
    "cascade_rpn",
    "cascade_rpn_faster_rcnn",
    "cascade_rpn_cascade_rcnn",
    "cascade_rpn_fast_rcnn",
    "rpn",
    "ga_rpn",
    "ga_faster_rcnn",
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("world", "authors"), WORLDS)
def test_only_the_own_geometry_is_accepted(name, world, authors):
    require_geometry(world, model_of(name, authors=authors))
    with pytest.raises(ValueError, match=rf"it is of {world.name}.*: use {world.configs}") as info:
        require_geometry(world, model_of(name, authors=not authors))
    # Of Fast R-CNN there are no anchors, but the pooling tells.
    assert ("pools" if name.endswith("_fast_rcnn") else "centres anchors") in str(info.value)


@pytest.mark.parametrize(("world", "own"), [(PLUS, "grid_rcnn"), (CPM, "cpm_rcnn")])
def test_boxes_that_name_their_last_pixel_are_a_world_of_each_code(world, own):
    require_geometry(world, model_of(own, authors=True))
    require_geometry(MMDET, model_of("grid_rcnn"))
    other = {"grid_rcnn": "cpm_rcnn", "cpm_rcnn": "grid_rcnn"}[own]
    for model in (model_of(own), model_of(other, authors=True), model_of("rpn", authors=True)):
        with pytest.raises(ValueError, match=rf"it is of {world.name}.*: use {world.configs}"):
            require_geometry(world, model)
    for foreign in (MMDET, AUTHORS):
        with pytest.raises(ValueError, match="given by their edges, unlike those of the config"):
            require_geometry(foreign, model_of(own, authors=True))


@pytest.mark.parametrize(
    ("pooler", "change", "message"),
    [
        ("box_pooler", {"to_edges": True}, "which pools other parts of its boxes than the config"),
        ("grid_pooler", {"to_edges": True}, "which pools other parts of its boxes than the config"),
        ("grid_pooler", {"sampling_ratio": 0}, "which pools with sampling ratio 2, not 0"),
    ],
)
def test_every_pooler_is_looked_at(pooler, change, message):
    config = config_of("cpm_rcnn", authors=True)
    config.model.roi_heads[pooler].update(change)
    with torch.device("meta"), pytest.raises(ValueError, match=message):
        require_geometry(CPM, instantiate_model(config))


def test_the_worlds_are_told_apart_by_names():
    assert world_of(["backbone.conv1.weight", "rpn_head.stages.0.rpn_reg.bias"]) is MMDET
    assert world_of(["bbox_head.stages.0.rpn_reg.bias"]) is MMDET
    assert world_of(["roi_head.bbox_head.0.fc_cls.bias"]) is MMDET
    assert world_of(["rpn_head.0.rpn_reg.bias"]) is AUTHORS
    assert world_of(["rpn_head.rpn_reg.bias", "bbox_head.2.fc_cls.bias"]) is AUTHORS
    assert world_of(["backbone.conv1.weight", "rpn_head.rpn_reg.bias"]) is None
    assert world_of(["rpn_head.conv_loc.bias", "rpn_head.conv_reg.bias"]) is None
    assert world_of(["bbox_head.conv_loc.bias", "bbox_head.retina_reg.bias"]) is None
    assert world_of(["rpn_head.conv_loc.bias", "bbox_head.fc_cls.bias"]) is AUTHORS
    assert world_of(["rpn_head.conv_loc.bias", "roi_head.bbox_head.fc_cls.bias"]) is MMDET
    assert world_of(["bbox_head.fc_cls.bias", "grid_head.deconv1.bias"]) is PLUS
    assert world_of(["roi_head.bbox_head.fc_cls.bias", "roi_head.grid_head.norm1.bias"]) is MMDET
    assert world_of(["Conv_Body.conv1.weight", "RPN.head.conv.bias"]) is CPM
    with pytest.raises(ValueError, match="'RPN.head.conv.bias' beside 'grid_head.norm1.bias', whi"):
        world_of(["RPN.head.conv.bias", "grid_head.norm1.bias"])
    with pytest.raises(ValueError, match="'roi_head.a.b' of mmdet >= 2 beside 'Conv_Body.a' of an"):
        world_of(["Conv_Body.a", "roi_head.a.b"])


@pytest.mark.parametrize("name", ["retinanet", "ga_retinanet"])
def test_p7_is_made_without_a_relu(name):
    require_plain_p7(model_of(name))
    config = config_of(name)
    config.model.backbone.top_block._target_ = LastLevelP6P7
    with torch.device("meta"), pytest.raises(ValueError, match="no ReLU between P6 and P7.*set"):
        require_plain_p7(instantiate_model(config))
