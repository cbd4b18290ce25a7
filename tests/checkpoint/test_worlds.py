"""Weights of one geometry are not given to a model of the other."""

from __future__ import annotations

import pytest
import torch
from detectron2.modeling.backbone.fpn import LastLevelP6P7

from cascade_rpn_d2.checkpoint.worlds import (
    AUTHORS,
    MMDET,
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


@pytest.mark.parametrize("name", ["retinanet", "ga_retinanet"])
def test_p7_is_made_without_a_relu(name):
    require_plain_p7(model_of(name))
    config = config_of(name)
    config.model.backbone.top_block._target_ = LastLevelP6P7
    with torch.device("meta"), pytest.raises(ValueError, match="no ReLU between P6 and P7.*set"):
        require_plain_p7(instantiate_model(config))
