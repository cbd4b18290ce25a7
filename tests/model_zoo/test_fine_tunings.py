"""The fine-tunings of Guided Anchoring's Table 3: one schedule, and proposals that differ."""

from __future__ import annotations

import pytest
import torch
from detectron2.config import get_cfg, instantiate
from detectron2.modeling import build_model
from omegaconf import OmegaConf

from cascade_rpn_d2 import model_zoo
from cascade_rpn_d2.checkpoint.finetune import fast_rcnn_from_faster
from cascade_rpn_d2.config.files import detectron2_configs_dir
from cascade_rpn_d2.engine.finetune import TrainedDetector
from cascade_rpn_d2.model_zoo import instantiate_model

NAME = "guided_anchoring/finetune_faster_rcnn_with_{}proposals_r50_fpn.py"


def test_an_epoch_at_each_learning_rate():
    config = model_zoo.get_config(NAME.format(""))
    assert config.train.max_iter == 3 * 7330
    factor = instantiate(config.lr_multiplier)
    rates = [
        config.optimizer.lr * factor(iteration / config.train.max_iter)
        for iteration in (0, 500, 7329, 7330, 14_659, 14_660, 21_989)
    ]
    assert rates == pytest.approx([2e-5, 0.02, 0.02, 0.002, 0.002, 0.0002, 0.0002])


def test_another_run_has_its_steps_at_thirds():
    config = model_zoo.get_config(NAME.format(""))
    config.train.max_iter = 900
    factor = instantiate(config.lr_multiplier)
    factors = [factor(iteration / 900) for iteration in (299, 300, 599, 600, 899)]
    assert factors == pytest.approx([1, 0.1, 0.1, 0.01, 0.01], rel=0.01)


def test_the_heads_are_those_of_ga_fast_rcnn():
    ours = model_zoo.get_config(NAME.format(""))
    theirs = model_zoo.get_config("guided_anchoring/ga_fast_rcnn_r50_fpn_1x.py")
    assert ours.model == theirs.model and ours.dataloader == theirs.dataloader
    heads = ours.model.roi_heads
    assert (heads.batch_size_per_image, heads.positive_fraction) == (256, 0.25)
    assert list(heads.proposal_matcher.thresholds) == [0.6]
    predictor = heads.box_predictor
    assert list(predictor.box2box_transform.weights) == [20, 20, 10, 10]
    assert (predictor.smooth_l1_beta, predictor.test_score_thresh) == (1.0, 0.001)
    for loader in (ours.dataloader.train, ours.dataloader.test):
        assert loader.mapper.precomputed_proposal_topk == 300
    assert ours.train.clip_grad_norm == 35.0


@pytest.mark.parametrize("generator", ["rpn", "cascade_rpn"])
def test_rows_differ_in_their_proposals_alone(generator: str):
    first = model_zoo.get_config(NAME.format(""))
    other = model_zoo.get_config(NAME.format(f"{generator}_"))
    for part in ("train", "test"):
        files = other.dataloader[part].dataset.proposal_files
        assert f"/{generator}_r50_fpn_1x/proposals_" in files[0]
        first.dataloader[part].dataset.proposal_files = files
    first.train.output_dir = other.train.output_dir
    for key in ("model", "dataloader", "optimizer", "lr_multiplier", "train"):
        assert OmegaConf.to_container(first[key]) == OmegaConf.to_container(other[key])


def test_a_run_starts_from_what_the_command_has_prepared():
    config = model_zoo.get_config(NAME.format(""))
    config.train.output_dir = "elsewhere"
    assert config.train.init_checkpoint == "elsewhere/detector.pth"


def test_the_faster_rcnn_of_detectron2_s_zoo_has_all_that_it_starts_from():
    cfg = get_cfg()
    cfg.merge_from_file(f"{detectron2_configs_dir()}/COCO-Detection/faster_rcnn_R_50_FPN_1x.yaml")
    cfg.MODEL.DEVICE = "meta"
    config = model_zoo.get_config(NAME.format(""))
    assert (
        tuple(cfg.MODEL.ROI_BOX_HEAD.BBOX_REG_WEIGHTS) == TrainedDetector("").regression_weights()
    )
    assert list(cfg.MODEL.PIXEL_MEAN) == list(config.model.pixel_mean)
    assert list(cfg.MODEL.PIXEL_STD) == list(config.model.pixel_std)
    assert cfg.INPUT.FORMAT == config.dataloader.test.mapper.image_format
    assert cfg.MODEL.RESNETS.STRIDE_IN_1X1 == config.model.backbone.bottom_up.stages.stride_in_1x1
    theirs = build_model(cfg).state_dict()
    with torch.device("meta"):
        ours = instantiate_model(config).state_dict()
    kept = fast_rcnn_from_faster(theirs, from_weights=(10, 10, 5, 5), to_weights=(20, 20, 10, 10))
    assert {k: v.shape for k, v in kept.items()} == {k: v.shape for k, v in ours.items()}
