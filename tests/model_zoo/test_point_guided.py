"""What experiments of Grid R-CNN and CPM R-CNN are made of, where a tiny one does not show it."""

from __future__ import annotations

import pytest
import torch
from detectron2.config import instantiate
from detectron2.layers import FrozenBatchNorm2d
from torch import nn

from cascade_rpn_d2 import model_zoo
from cascade_rpn_d2.model_zoo import instantiate_model
from cascade_rpn_d2.modeling import DeformBottleneckBlock
from tests.model_zoo.differences import differences, plain

ABLATIONS = "cpm_rcnn/ablations"


@pytest.mark.parametrize(
    ("name", "before", "changed"),
    [
        ("cmm_ism", "cmm_ism_rsm", {"resampling_scoring"}),
        ("cmm_rsm", "cmm_ism_rsm", {"iou_scoring"}),
        ("cmm", "cmm_ism_rsm", {"iou_scoring", "resampling_scoring"}),
        ("ism_rsm", "cmm_ism_rsm", {"grid_stages"}),
        ("ism", "cmm_ism", {"grid_stages"}),
        ("rsm", "cmm_rsm", {"grid_stages"}),
        ("one_stage", "cmm", {"grid_stages"}),
        ("three_stages", "cmm", {"grid_stages"}),
        *(
            (f"two_stages{modules}", f"cmm{modules}", {f"grid_stages.1.{key}" for key in keys})
            for modules in ("", "_ism", "_rsm", "_ism_rsm")
            for keys in (("mapping_ratio", "min_iou"),)
        ),
        (
            "equal_ratios",
            "three_stages",
            {"grid_stages.1.mapping_ratio", "grid_stages.2.mapping_ratio"},
        ),
        ("ism_l1", "ism", {"iou_scoring.loss"}),
        ("ism_smooth_l1", "ism", {"iou_scoring.loss"}),
    ],
)
def test_rows_differ_in_what_they_compare_alone(name: str, before: str, changed: set[str]):
    ours, theirs = (
        model_zoo.get_config(f"{ABLATIONS}/{each}_r50_fpn_2x.py") for each in (name, before)
    )
    for config in (ours, theirs):
        config.train.output_dir = ""
    expected = {f"roi_heads.{key}" for key in changed}
    assert differences(plain(ours.model), plain(theirs.model)) == expected
    for part in ("dataloader", "optimizer", "lr_multiplier", "train"):
        assert plain(ours[part]) == plain(theirs[part])


@pytest.mark.parametrize(
    ("name", "iou_scoring", "resampling_scoring"),
    [
        ("two_stages", False, False),  # sep@2.yaml
        ("two_stages_ism", True, False),  # ISM@2.yaml
        ("two_stages_rsm", False, True),  # RSM@2.yaml
        ("two_stages_ism_rsm", True, True),  # ISM+RSM@2.yaml
    ],
)
def test_two_stages_have_the_numbers_of_the_released_configs(
    name: str, iou_scoring: bool, resampling_scoring: bool
):
    config = model_zoo.get_config(f"{ABLATIONS}/{name}_r50_fpn_2x.py")
    heads = config.model.roi_heads
    stages = [(s.mapping_ratio, s.min_iou, s.loss_weight) for s in heads.grid_stages]
    # 1 + STAGE_MAPPING_RATIO, FG_IOU_THRESHOLD, LOSS_WEIGHT 15 by the default STAGE_WEIGHTS.
    assert stages == [(2.0, 0.5, 15.0), (2.0, 0.5, 7.5)]
    assert all(not stage.head.fusion for stage in heads.grid_stages)  # FUSED_ON
    assert heads.test_stage is None  # TEST_STAGE 2, of STAGE_NUM 2
    assert (heads.iou_scoring is not None) == iou_scoring  # IOU_HELPER and IOU_HELPER_MERGE
    assert (heads.resampling_scoring is not None) == resampling_scoring  # RESCORE_ON
    predictor = heads.box_predictor
    assert (predictor.test_nms_thresh, predictor.test_score_thresh) == (0.3, 0.03)
    schedule, train = config.lr_multiplier, config.train
    assert (train.max_iter, config.optimizer.lr) == (180_000, 0.02)
    assert config.optimizer.weight_decay == 1e-4
    assert (schedule.warmup_iters, list(schedule.milestones)) == (500, [120_000, 160_000])
    assert list(config.model.pixel_mean) == [102.9801, 115.9465, 122.7717]
    assert list(config.model.pixel_std) == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("detector", ["cpm_rcnn", "grid_rcnn"])
@pytest.mark.parametrize("generator", ["cascade_rpn", "ga_rpn"])
def test_another_proposal_generator_is_all_that_changes(detector: str, generator: str):
    ours = model_zoo.get_config(f"{detector}/{generator}_{detector}_r50_fpn_2x.py")
    theirs = model_zoo.get_config(f"{detector}/{detector}_r50_fpn_2x.py")
    folder = "guided_anchoring" if generator == "ga_rpn" else "cascade_rpn"
    name = "ga_faster_rcnn" if generator == "ga_rpn" else "cascade_rpn_faster_rcnn"
    faster = model_zoo.get_config(f"{folder}/{name}_r50_fpn_1x.py")
    assert plain(ours.model.proposal_generator) == plain(faster.model.proposal_generator)
    del ours.model.proposal_generator, theirs.model.proposal_generator
    assert plain(ours.model) == plain(theirs.model)


def test_heads_have_the_released_number_of_parameters():
    config = model_zoo.get_config("cpm_rcnn/cpm_rcnn_r50_fpn_2x.py")
    with torch.device("meta"):  # shapes alone
        heads = instantiate_model(config).roi_heads

    def count(module: nn.Module) -> int:
        return sum(parameter.numel() for parameter in module.parameters())

    assert [count(stage) for stage in heads.grid_stages] == [22_843_593] * 3
    assert count(heads.iou_scoring) == 29_954_050
    assert count(heads.resampling_scoring) == 13_978_705


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        # max_num_grid 192 of Plus and of mmdet, both with 2 images a GPU.
        ("grid_rcnn/grid_rcnn_plus_r50_fpn_2x.py", 96),
        ("grid_rcnn/grid_rcnn_x101_64x4d_fpn_2x.py", 96),
        # MAX_SAMPLE_NUM_GRID; section 4.2.
        ("cpm_rcnn/cpm_rcnn_r50_fpn_2x.py", 96),
        ("cpm_rcnn/cpm_rcnn_x101_64x4d_dcn_ms_fpn_2x.py", 32),
        # Ours.
        ("demo/grid_rcnn.py", 32),
        ("small/grid_rcnn_r18_fpn_1k.py", 32),
        ("small/cpm_rcnn_r18_fpn_1k.py", 32),
    ],
)
def test_boxes_that_train_the_grid_are_limited_by_image(name: str, limit: int):
    assert model_zoo.get_config(name).model.roi_heads.max_grid_rois_per_image == limit


def test_biases_learn_twice_as_fast_and_do_not_decay():
    config = model_zoo.get_config("cpm_rcnn/ablations/one_stage_r50_fpn_2x.py")
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.GroupNorm(2, 4))
    config.optimizer.params.model = model
    groups = {
        id(parameter): group
        for group in instantiate(config.optimizer).param_groups
        for parameter in group["params"]
    }
    found = {
        name: (groups[id(parameter)]["lr"], groups[id(parameter)]["weight_decay"])
        for name, parameter in model.named_parameters()
    }
    assert found == {
        "0.weight": (0.02, 1e-4), "0.bias": (0.04, 0), "1.weight": (0.02, 0), "1.bias": (0.04, 0)
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "iteration", "factor"),
    [
        ("cpm_rcnn/cpm_rcnn_r50_fpn_2x.py", 0, 0.1),
        ("cpm_rcnn/cpm_rcnn_r50_fpn_2x.py", 500, 1),
        ("cpm_rcnn/cpm_rcnn_r50_fpn_2x.py", 120_001, 0.1),
        ("cpm_rcnn/ablations/cascade_rcnn_r50_fpn_1x.py", 60_001, 0.1),
        ("grid_rcnn/grid_rcnn_r50_fpn_2x.py", 0, 1 / 80),
        ("grid_rcnn/grid_rcnn_r50_fpn_2x.py", 3_665, 1),
        ("grid_rcnn/grid_rcnn_r50_fpn_2x.py", 168_591, 0.01),
        ("grid_rcnn/grid_rcnn_plus_r50_fpn_2x.py", 3_660, 0.99),
        ("grid_rcnn/grid_rcnn_plus_r50_fpn_2x.py", 31_163, 0.1),  # after 17 of 25 epochs
    ],
)
def test_schedules(name: str, iteration: int, factor: float):
    config = model_zoo.get_config(name)
    schedule = instantiate(config.lr_multiplier)
    assert schedule(iteration / config.train.max_iter) == pytest.approx(factor, rel=0.01)


def test_deformable_convolutions_in_the_last_three_stages():
    config = model_zoo.get_config("cpm_rcnn/cpm_rcnn_x101_64x4d_dcn_fpn_2x.py")
    with torch.device("meta"):  # shapes alone
        trunk = instantiate(config.model.backbone.bottom_up)
    for stage in trunk.stage_names:
        for block in getattr(trunk, stage):
            assert isinstance(block, DeformBottleneckBlock) == (stage != "res2")
            assert block.conv2.groups == 64
            if stage != "res2":
                assert block.conv2_offset.out_channels == 18
    norms = [m for m in trunk.modules() if "Norm" in type(m).__name__]
    assert norms and all(isinstance(norm, FrozenBatchNorm2d) for norm in norms)
