"""The yacs keys on stock Detectron2 configs, up to an unmodified DefaultPredictor."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.engine import DefaultPredictor
from detectron2.modeling import build_model
from detectron2.structures import BitMasks, Boxes, Instances
from detectron2.utils.events import EventStorage

from cascade_rpn_d2 import model_zoo
from cascade_rpn_d2.config import add_cascade_rpn_config
from cascade_rpn_d2.modeling import CascadeRPN


def stock_with_cascade_rpn(name: str) -> CfgNode:
    cfg = get_cfg()
    add_cascade_rpn_config(cfg)
    cfg.merge_from_file(model_zoo.get_config_file(name))
    cfg.merge_from_file(model_zoo.get_config_file("yacs/cascade_rpn.yaml"))
    cfg.MODEL.WEIGHTS, cfg.MODEL.DEVICE = "", "cpu"
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = 3
    # A batch norm that is not frozen keeps random weights from exploding.
    cfg.MODEL.RESNETS.NORM, cfg.MODEL.RESNETS.DEPTH = "BN", 18
    cfg.MODEL.RESNETS.RES2_OUT_CHANNELS = 64
    return cfg


@pytest.mark.parametrize(
    "name",
    [
        "COCO-Detection/faster_rcnn_R_50_FPN_1x.yaml",
        "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x.yaml",
    ],
)
def test_a_stock_detector_trains_on_cascade_rpn(name):
    model = build_model(stock_with_cascade_rpn(name))
    assert isinstance(model.proposal_generator, CascadeRPN)
    truth = Instances((128, 160))
    truth.gt_boxes = Boxes(torch.tensor([[20.0, 20, 90, 80]]))
    truth.gt_classes = torch.tensor([1])
    mask = torch.zeros(1, 128, 160, dtype=torch.bool)
    mask[:, 20:80, 20:90] = True
    truth.gt_masks = BitMasks(mask)
    with EventStorage():
        losses = model([{"image": torch.randint(0, 255, (3, 128, 160)), "instances": truth}])
    assert {"loss_rpn_stage1_loc", "loss_rpn_stage2_cls", "loss_cls"} <= losses.keys()
    assert ("loss_mask" in losses) == ("mask" in name)
    assert all(loss.isfinite() for loss in losses.values())


def test_default_predictor_serves_it_unmodified(tmp_path):
    cfg = stock_with_cascade_rpn("COCO-Detection/faster_rcnn_R_50_FPN_1x.yaml")
    model = build_model(cfg)
    torch.save({"model": model.state_dict()}, tmp_path / "model.pth")
    cfg.MODEL.WEIGHTS, cfg.INPUT.MIN_SIZE_TEST = str(tmp_path / "model.pth"), 128
    predictor = DefaultPredictor(cfg)
    for ours, theirs in zip(model.parameters(), predictor.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    image = np.random.default_rng(0).integers(0, 255, (120, 150, 3), dtype=np.uint8)
    instances = predictor(image)["instances"]
    assert instances.image_size == (120, 150)
    assert {"pred_boxes", "scores", "pred_classes"} <= set(instances.get_fields())


def test_the_keys_survive_a_round_trip_through_yaml(tmp_path):
    cfg = stock_with_cascade_rpn("COCO-Detection/faster_rcnn_R_50_FPN_1x.yaml")
    cfg.MODEL.CASCADE_RPN.LOC_LOSS_WEIGHT = 3.0
    (tmp_path / "saved.yaml").write_text(cfg.dump())
    other = get_cfg()
    add_cascade_rpn_config(other)
    other.merge_from_file(str(tmp_path / "saved.yaml"))
    assert other.MODEL.CASCADE_RPN == cfg.MODEL.CASCADE_RPN
