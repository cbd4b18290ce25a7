"""The detectors of the zoo take a step and detect, on small images."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from detectron2.config import LazyConfig
from detectron2.engine import DefaultPredictor
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage

from cascade_rpn_d2 import model_zoo
from cascade_rpn_d2.config.lazy import is_of
from cascade_rpn_d2.layers import FixedStatisticsBatchNorm2d
from cascade_rpn_d2.model_zoo import instantiate_model
from cascade_rpn_d2.modeling import CascadeRPN, ResamplingCascadeROIHeads
from cascade_rpn_d2.reproduce import SCALES


def toy_batch() -> list[dict[str, object]]:
    truth = Instances((64, 96))
    truth.gt_boxes = Boxes(torch.tensor([[10.0, 10, 60, 50]]))
    truth.gt_classes = torch.tensor([2])
    image = torch.randint(0, 255, (3, 64, 96)).float()
    return [{"image": image, "instances": truth, "height": 128, "width": 192}] * 2


@pytest.mark.parametrize("name", ["faster_rcnn_r50_fpn_1x", "cascade_rpn_faster_rcnn_r50_fpn_1x"])
def test_faster_rcnn(name):
    config = model_zoo.get_config(f"cascade_rpn/{name}.py")
    for part in (config.model.backbone.bottom_up.stem, config.model.backbone.bottom_up.stages):
        part.norm = "BN"  # frozen statistics of random weights would make the maps explode
    config.model.roi_heads.num_classes = 3
    model = instantiate_model(config)
    assert model.roi_heads.box_predictor.num_classes == 3
    batch = toy_batch()
    with EventStorage():
        losses = model(batch)
    sum(losses.values()).backward()
    cascade = {"loss_rpn_stage1_loc", "loss_rpn_stage2_loc", "loss_rpn_stage2_cls"}
    stock = {"loss_rpn_cls", "loss_rpn_loc"}
    is_cascade = isinstance(model.proposal_generator, CascadeRPN)
    assert is_cascade == name.startswith("cascade")
    assert losses.keys() == {"loss_cls", "loss_box_reg"} | (cascade if is_cascade else stock)
    missing = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not missing
    with torch.no_grad():
        detections = model.eval()(batch)[0]["instances"]
    assert detections.image_size == (128, 192)


@pytest.mark.parametrize("name", ["cascade_rcnn_r50_fpn_1x", "cascade_rpn_cascade_rcnn_r50_fpn_1x"])
def test_cascade_rcnn(name):
    config = model_zoo.get_config(f"cascade_rpn/{name}.py")
    config.model.roi_heads.num_classes = 3
    config.model.proposal_generator.post_nms_topk = (50, 50)  # a few, to be done sooner
    for head in config.model.roi_heads.box_heads:
        head.fc_dims = [32, 32]
    for predictor in config.model.roi_heads.box_predictors:
        predictor.input_shape.channels = 32
    model = instantiate_model(config)
    assert isinstance(model.roi_heads, ResamplingCascadeROIHeads)
    trunk = model.backbone.bottom_up
    assert isinstance(trunk.res3[0].conv1.norm, FixedStatisticsBatchNorm2d)
    assert [p.num_classes for p in model.roi_heads.box_predictor] == [3, 3, 3]
    batch = toy_batch()
    with EventStorage():
        losses = model(batch)
    sum(losses.values()).backward()
    stages = {f"loss_{kind}_stage{stage}" for kind in ("cls", "box_reg") for stage in range(3)}
    assert {key for key in losses if not key.startswith("loss_rpn")} == stages
    assert all(loss.isfinite() for loss in losses.values())
    missing = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not missing
    with torch.no_grad():
        detections = model.eval()(batch)[0]["instances"]
    assert detections.image_size == (128, 192)
    assert set(detections.get_fields()) == {"pred_boxes", "scores", "pred_classes"}


def test_the_recipes_of_retinanet():
    plain, guided = (
        model_zoo.get_config(f"guided_anchoring/{name}_r50_fpn_1x.py")
        for name in ("retinanet", "ga_retinanet")
    )
    for config in (plain, guided):
        model = config.model
        assert config.optimizer.lr == 0.01 and config.train.clip_grad_norm == 35.0
        assert list(model.backbone.bottom_up.out_features) == ["res3", "res4", "res5"]
        assert is_of(model.backbone.top_block, "LastLevelP6P7WithoutReLU")
        assert model.backbone.top_block.in_feature == "res5"
        assert model.head.num_classes == model.num_classes == 80
        assert [model.test_score_thresh, model.test_nms_thresh] == [0.05, 0.5]
        assert [model.test_topk_candidates, model.max_detections_per_image] == [1000, 100]
        sizes, strides = model.anchor_generator.sizes, model.anchor_generator.strides
        assert [size[0] / stride for size, stride in zip(sizes, strides, strict=True)] == [4.0] * 5
    assert (plain.model.smooth_l1_beta, guided.model.refinement.box_loss.beta) == (0.11, 0.04)
    assert guided.model.location_loss.assigner.anchor_scale == 4.0


def test_default_predictor_serves_ga_retinanet(tmp_path):
    config = model_zoo.get_config("guided_anchoring/ga_retinanet_r50_fpn_1x.py")
    SCALES["tiny"].adapt(config, False)
    config.model.location_threshold = 0.0
    config.model.head.class_prior = 0.5  # detects without having been trained
    model = instantiate_model(config)
    torch.save({"model": model.state_dict()}, tmp_path / "model.pth")
    LazyConfig.save(config, str(tmp_path / "config.yaml"))
    cfg = model_zoo.get_predictor_cfg(tmp_path / "config.yaml", tmp_path / "model.pth")
    image = np.random.default_rng(0).integers(0, 255, (96, 128, 3), dtype=np.uint8)
    found = DefaultPredictor(cfg)(image)["instances"]
    assert found.image_size == (96, 128) and len(found) == 100
    assert {"pred_boxes", "scores", "pred_classes"} == set(found.get_fields())


def test_the_small_fast_rcnn_has_the_heads_of_cascade_rpns_detector():
    config = model_zoo.get_config("small/cascade_rpn_fast_rcnn_r18_fpn_1k.py")
    heads = config.model.roi_heads
    assert heads.batch_size_per_image == 256
    assert list(heads.proposal_matcher.thresholds) == [0.65]
    assert list(heads.box_predictor.box2box_transform.weights) == [25.0, 25.0, 12.5, 12.5]
    assert (heads.box_predictor.loss_weight.loss_cls, heads.box_predictor.test_score_thresh) == (
        1.5,
        0.001,
    )
    generator = model_zoo.get_config("small/cascade_rpn_r18_fpn_1k.py")
    assert config.model.backbone == generator.model.backbone
    for part in ("train", "test"):
        mapper = config.dataloader[part].mapper
        assert mapper.pop("precomputed_proposal_topk") == 300
        assert mapper == generator.dataloader[part].mapper
    model = instantiate_model(config)
    assert model.proposal_generator is None
    proposals = Instances((64, 96))
    proposals.proposal_boxes = Boxes(torch.tensor([[10.0, 10, 60, 50]]))
    proposals.objectness_logits = torch.zeros(1)
    with torch.no_grad():
        image = torch.zeros(3, 64, 96)
        output = model.eval()([{"image": image, "proposals": proposals}])[0]
    assert output["instances"].image_size == (64, 96)
