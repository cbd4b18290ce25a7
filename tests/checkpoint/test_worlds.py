"""Weights of one geometry are not given to a model of the other."""

from __future__ import annotations

import pytest

from cascade_rpn_d2.checkpoint.worlds import AUTHORS, MMDET, require_geometry, world_of
from tests.checkpoint.models import model_of

WORLDS = [(MMDET, False), (AUTHORS, True)]
NAMES = [
    "cascade_rpn",
    "cascade_rpn_faster_rcnn",
    "cascade_rpn_cascade_rcnn",
    "cascade_rpn_fast_rcnn",
    "rpn",
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
