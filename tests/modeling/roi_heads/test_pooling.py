"""Boxes are pooled from where they are, whatever the maps are rounded to."""

from __future__ import annotations

import pytest
import torch
from detectron2.modeling.poolers import ROIPooler
from detectron2.structures import Boxes

from cascade_rpn_d2.modeling.roi_heads.pooling import maps_to_pool
from tests.modeling.roi_heads.toy_cascade import build_scored
from tests.modeling.roi_heads.toy_heads import (
    CHANNELS,
    NOTHING,
    OBJECTS,
    batch_of,
    build,
    build_cpm,
    detect,
    train,
)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_boxes_are_not_rounded_inside_autocast(dtype):
    pooler = ROIPooler(7, scales=(0.25,), sampling_ratio=2, pooler_type="ROIAlignV2")
    boxes = [Boxes(torch.tensor([[1204.3, 10.3, 1224.3, 30.3]]))]  # 1200 to 1224 in bfloat16
    features = {"p2": torch.randn(1, CHANNELS, 20, 336).to(dtype), "p3": torch.zeros(())}
    expected = pooler([features["p2"].float()], boxes)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(pooler(maps_to_pool(features, ["p2"]), boxes), expected)
    assert maps_to_pool(features, ["p2"])[0] is features["p2"]


@pytest.mark.parametrize("make", [build, build_cpm, build_scored])
def test_heads_pool_so(make):
    heads = make()
    seen = set()
    poolers = {heads.box_pooler, getattr(heads, "grid_pooler", heads.box_pooler)}
    for pooler in poolers:
        pooler.register_forward_pre_hook(
            lambda pooler, arguments: seen.add((pooler, heads.training, arguments[0][0].dtype))
        )
    maps = {"p2": torch.randn(2, CHANNELS, 20, 25, dtype=torch.bfloat16)}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        train(heads, OBJECTS, NOTHING, maps=maps)
        detect(heads, *batch_of(OBJECTS, NOTHING), maps=maps)
    assert seen == {(p, training, torch.float32) for p in poolers for training in (True, False)}
