"""Point-guided heads from yacs keys: each of them reaches what it is for."""

from __future__ import annotations

import math

import pytest
from detectron2.config import CfgNode, get_cfg
from detectron2.layers import ShapeSpec
from detectron2.modeling.roi_heads import build_roi_heads

from cascade_rpn_d2.config import add_cascade_rpn_config
from cascade_rpn_d2.modeling import CPMROIHeads

# None of them has its default value.
GRID = {
    "MAPPING_RATIOS": [3.0, 1.75],
    "IOUS": [0.45, 0.55],
    "LOSS_WEIGHTS": [5.0, 6.0],
    "POOLER_RESOLUTION": 8,
    "POOLER_SAMPLING_RATIO": 3,
    "POOLER_TYPE": "ROIAlign",
    "GRID_SIZE": 2,
    "NUM_CONVS": 3,
    "POINT_CHANNELS": 8,
    "FUSION": False,
    "INIT": "pytorch",
    "RADIUS": 2,
    "MIN_REGION_SIZE": 4.5,
    "BY_PROBABILITY": True,
    "MAX_ROIS_PER_IMAGE": 7,
    "JITTER": 0.25,
    "CLIP_BETWEEN_STAGES": True,
    "TEST_STAGE": 1,
}
ISM = {
    "TARGET": "output",
    "FROM_OBJECTS": False,
    "LOSS": "smooth_l1",
    "SMOOTH_L1_BETA": 0.3,
    "LOSS_WEIGHT": 1.5,
    "NUM_FC": 3,
    "FC_DIM": 24,
}
RSM = {"POSITIVES": "output", "LOSS_WEIGHT": 0.2}


def config() -> CfgNode:
    cfg = get_cfg()
    add_cascade_rpn_config(cfg)
    cfg.MODEL.ROI_HEADS.NAME = "CPMROIHeads"
    cfg.MODEL.ROI_HEADS.IN_FEATURES = ["p2", "p3"]
    cfg.MODEL.ROI_BOX_HEAD.NAME, cfg.MODEL.ROI_BOX_HEAD.NUM_FC = "FastRCNNConvFCHead", 1
    return cfg


def build(cfg: CfgNode) -> CPMROIHeads:
    heads = build_roi_heads(cfg, {f"p{n}": ShapeSpec(channels=4, stride=2**n) for n in (2, 3)})
    assert isinstance(heads, CPMROIHeads)
    return heads


def test_the_keys_are_all_here_and_none_has_its_default():
    node = config().MODEL
    for changes, default in (
        (GRID, node.ROI_GRID_HEAD),
        (ISM | {"ENABLED": False}, node.CPM.ISM),
        (RSM | {"ENABLED": False}, node.CPM.RSM),
        ({"SCORE_GAMMA": 0.6, "ISM": ISM, "RSM": RSM}, node.CPM),
    ):
        assert changes.keys() == default.keys()
        assert [key for key, value in changes.items() if default[key] == value] == []


def test_every_key_of_the_stages_arrives():
    cfg = config()
    cfg.MODEL.ROI_GRID_HEAD.update(GRID)
    heads = build(cfg)
    pooler = heads.grid_pooler
    assert pooler.output_size == (8, 8) and len(pooler.level_poolers) == 2
    for level in pooler.level_poolers:
        assert level.sampling_ratio == 3 and not level.aligned
    stages = list(heads.grid_stages)
    assert [s.mapping_ratio for s in stages] == [3, 1.75]
    assert [s.min_iou for s in stages] == [0.45, 0.55]
    assert [s.loss_weight for s in stages] == [5, 6]
    for stage in stages:
        assert (stage.radius, stage.min_region_size, stage.by_probability) == (2, 4.5, True)
        head = stage.head
        assert (head.grid_size, head.point_channels, len(head.convs)) == (2, 8, 3)
        assert head.map_size == 16 and head.fuse1 is None
        assert (head.deconv2.bias > -4).all()  # no prior
    assert heads.max_grid_rois_per_image == 7
    assert (heads.jitter, heads.clip_between_stages, heads.test_stage) == (0.25, True, 1)


def test_every_key_of_the_scores_arrives():
    cfg = config()
    cfg.MODEL.CPM.SCORE_GAMMA = 0.6
    cfg.MODEL.CPM.ISM.update(ISM)
    cfg.MODEL.CPM.RSM.update(RSM)
    heads = build(cfg)
    ism, rsm = heads.iou_scoring, heads.resampling_scoring
    assert (heads.iou_target, heads.resampling_positives) == ("output", "output")
    assert not heads.iou_from_objects
    assert (ism.kind, ism.beta, ism.loss_weight) == ("smooth_l1", 0.3, 1.5)
    assert [layer.out_features for layer in ism.fcs] == [24, 24, 24]
    assert rsm.loss_weight == 0.2 and heads.score_gamma == 0.6
    for name in ("ISM", "RSM"):
        cfg.MODEL.CPM[name].ENABLED = False
    heads = build(cfg)
    assert heads.iou_scoring is None and heads.resampling_scoring is None


def test_limits_that_are_none_and_all_stages():
    cfg = config()
    cfg.MODEL.ROI_GRID_HEAD.MAX_ROIS_PER_IMAGE = -1
    heads = build(cfg)
    assert heads.max_grid_rois_per_image is None
    assert heads.test_stage == len(heads.grid_stages) == 1
    prior = heads.grid_stages[0].head.deconv2.bias
    assert prior.tolist() == pytest.approx([math.log(0.01 / 0.99)] * 9)
