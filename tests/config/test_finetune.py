"""The detector of a fine-tuning: its own network, the fine-tuning's way to train it."""

from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from cascade_rpn_d2 import model_zoo
from cascade_rpn_d2.config.finetune import regression_weights, take_over_detector
from tests.engine.tiny_models import tiny_config_file

FINETUNING = "guided_anchoring/finetune_faster_rcnn_with_proposals_r50_fpn.py"


def test_the_zoo_s_faster_rcnn_is_what_the_fine_tuning_is_written_for():
    config, written = model_zoo.get_config(FINETUNING), model_zoo.get_config(FINETUNING)
    take_over_detector(config, model_zoo.get_config("cascade_rpn/faster_rcnn_r50_fpn_1x.py"))
    assert OmegaConf.to_container(config.model) == OmegaConf.to_container(written.model)
    assert config == written


def test_network_and_images_are_the_detector_s_and_the_rest_is_kept():
    detector = model_zoo.get_config(tiny_config_file("tiny_faster_rcnn"))
    detector.dataloader.train.mapper.image_format = "RGB"
    before = OmegaConf.to_container(detector)
    config, written = model_zoo.get_config(FINETUNING), model_zoo.get_config(FINETUNING)
    take_over_detector(config, detector)
    assert OmegaConf.to_container(detector) == before

    model, heads = config.model, config.model.roi_heads
    assert model.proposal_generator is None
    assert model.backbone == detector.model.backbone
    assert list(model.pixel_std) == [58.0, 58.0, 58.0]
    assert heads.box_head == detector.model.roi_heads.box_head
    assert heads.box_predictor.input_shape.channels == 32
    assert heads.box_predictor.num_classes == 80
    assert heads.batch_size_per_image == 256 and list(heads.proposal_matcher.thresholds) == [0.6]
    assert regression_weights(config) == (20.0, 20.0, 10.0, 10.0)
    assert heads.box_predictor.test_score_thresh == 0.001

    loader = config.dataloader
    assert loader.train.mapper.image_format == "RGB" and loader.test.mapper.image_format == "BGR"
    assert list(loader.test.mapper.augmentations) == []
    assert loader.test.mapper.precomputed_proposal_topk == 300
    assert loader.train.dataset == written.dataloader.train.dataset
    assert (config.train, config.lr_multiplier) == (written.train, written.lr_multiplier)


def test_a_detector_without_images_leaves_those_of_the_fine_tuning():
    detector = model_zoo.get_config("cascade_rpn/faster_rcnn_r50_fpn_1x.py")
    del detector.dataloader
    config, written = model_zoo.get_config(FINETUNING), model_zoo.get_config(FINETUNING)
    take_over_detector(config, detector)
    assert config.dataloader == written.dataloader


def test_regression_weights():
    assert regression_weights(model_zoo.get_config(FINETUNING)) == (20.0, 20.0, 10.0, 10.0)
    faster = model_zoo.get_config("cascade_rpn/faster_rcnn_r50_fpn_1x.py")
    assert regression_weights(faster) == (10.0, 10.0, 5.0, 5.0)


@pytest.mark.parametrize(
    "name", ["cascade_rpn/cascade_rcnn_r50_fpn_1x.py", "cascade_rpn/rpn_r50_fpn_1x.py"]
)
def test_other_models_are_refused(name: str):
    with pytest.raises(ValueError, match="no Fast or Faster R-CNN with one box head"):
        take_over_detector(model_zoo.get_config(FINETUNING), model_zoo.get_config(name))


def test_masks_are_refused():
    detector = model_zoo.get_config("cascade_rpn/faster_rcnn_r50_fpn_1x.py")
    detector.model.roi_heads.mask_head = {"num_classes": 80}
    with pytest.raises(ValueError, match="nothing besides"):
        regression_weights(detector)


def test_a_yacs_config_is_called_by_its_name():
    yacs = model_zoo.get_config("COCO-Detection/faster_rcnn_R_50_FPN_1x.yaml")
    with pytest.raises(ValueError, match="no `model` at its top.* leave a yacs config out if"):
        regression_weights(yacs)
