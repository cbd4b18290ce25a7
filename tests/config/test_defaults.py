"""The yacs keys on stock Detectron2 configs, up to an unmodified DefaultPredictor."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from detectron2.config import CfgNode, LazyConfig, get_cfg, instantiate
from detectron2.engine import DefaultPredictor
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_model
from detectron2.modeling.roi_heads import build_roi_heads
from detectron2.structures import BitMasks, Boxes, Instances
from detectron2.utils.events import EventStorage

from cascade_rpn_d2 import model_zoo
from cascade_rpn_d2.config import add_cascade_rpn_config
from cascade_rpn_d2.modeling import (
    CascadeRPN,
    GuidedAnchorRetinaNet,
    GuidedAnchorRPN,
    LastLevelP6P7WithoutReLU,
    ResamplingCascadeROIHeads,
    ScoredCascadeROIHeads,
)


def stock_with_cascade_rpn(name: str, generator: str = "cascade_rpn") -> CfgNode:
    cfg = get_cfg()
    add_cascade_rpn_config(cfg)
    cfg.merge_from_file(model_zoo.get_config_file(name))
    cfg.merge_from_file(model_zoo.get_config_file(f"yacs/{generator}.yaml"))
    cfg.MODEL.WEIGHTS, cfg.MODEL.DEVICE = "", "cpu"
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = 3
    # A batch norm that is not frozen keeps random weights from exploding.
    cfg.MODEL.RESNETS.NORM, cfg.MODEL.RESNETS.DEPTH = "BN", 18
    cfg.MODEL.RESNETS.RES2_OUT_CHANNELS = 64
    return cfg


def image_with_an_object() -> dict[str, object]:
    truth = Instances((128, 160))
    truth.gt_boxes = Boxes(torch.tensor([[20.0, 20, 90, 80]]))
    truth.gt_classes = torch.tensor([1])
    mask = torch.zeros(1, 128, 160, dtype=torch.bool)
    mask[:, 20:80, 20:90] = True
    truth.gt_masks = BitMasks(mask)
    return {"image": torch.randint(0, 255, (3, 128, 160)), "instances": truth}


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
    with EventStorage():
        losses = model([image_with_an_object()])
    assert {"loss_rpn_stage1_loc", "loss_rpn_stage2_cls", "loss_cls"} <= losses.keys()
    assert ("loss_mask" in losses) == ("mask" in name)
    assert all(loss.isfinite() for loss in losses.values())


def test_a_stock_detector_trains_on_guided_anchors():
    name = "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x.yaml"
    model = build_model(stock_with_cascade_rpn(name, "guided_anchor_rpn"))
    assert isinstance(model.proposal_generator, GuidedAnchorRPN)
    with EventStorage():
        losses = model([image_with_an_object()])
    expected = {"loss_rpn_anchor_loc", "loss_rpn_anchor_shape", "loss_rpn_cls", "loss_rpn_loc"}
    assert expected | {"loss_cls", "loss_mask"} <= losses.keys()
    assert all(loss.isfinite() for loss in losses.values())


@pytest.mark.parametrize("generator", ["cascade_rpn", "guided_anchor_rpn"])
def test_a_stock_detector_without_fpn_is_refused(generator):
    with pytest.raises(
        ValueError, match="names 'p2', but the backbone has res4: take a model with"
    ):
        build_model(stock_with_cascade_rpn("COCO-Detection/faster_rcnn_R_50_C4_1x.yaml", generator))


def test_the_guided_anchors_of_a_stock_detector_are_those_of_ga_faster_rcnn():
    name = "COCO-Detection/faster_rcnn_R_50_FPN_1x.yaml"
    cfg = stock_with_cascade_rpn(name, "guided_anchor_rpn")
    cfg.MODEL.FPN.OUT_CHANNELS = 32
    generator = build_model(cfg).proposal_generator
    lazy = model_zoo.get_config("guided_anchoring/ga_faster_rcnn_r50_fpn_1x.py").model
    theirs = instantiate(lazy.proposal_generator)
    for ours, wanted in (
        (generator.refinement, theirs.refinement),
        (generator.shape, theirs.shape),
        (generator.location_loss, theirs.location_loss),
    ):
        for part in ("box_coder", "assigner", "sampler", "box_loss", "cls_loss", "loss"):
            if hasattr(wanted, part):
                assert vars(getattr(ours, part)) == vars(getattr(wanted, part)), part
        for number in ("loc_weight", "cls_weight", "weight", "negative_weight", "cells_per_unit"):
            assert getattr(ours, number, None) == getattr(wanted, number, None), number
    for option in (
        "in_features", "pre_nms_topk", "post_nms_topk", "nms_thresh", "nms_across_levels",
        "min_box_size", "size_divisibility", "propose_in_padding", "propose_in_training",
        "location_threshold", "sparse",
    ):  # fmt: skip
        assert getattr(generator, option) == getattr(theirs, option), option


def test_locations_can_follow_anchors_half_a_stride_inside_their_cells():
    cfg = ga_retinanet()
    cfg.MODEL.ANCHOR_GENERATOR.OFFSET = 0.5
    cfg.MODEL.GUIDED_ANCHOR.LOCATION.LEGACY_EDGES = True
    assert build_model(cfg).location_loss.assigner.legacy_edges


def cascade_rcnn(**roi_heads: object) -> CfgNode:
    cfg = stock_with_cascade_rpn("Misc/cascade_mask_rcnn_R_50_FPN_1x.yaml")
    cfg.MODEL.ROI_HEADS.NAME = "ResamplingCascadeROIHeads"
    cfg.MODEL.ROI_BOX_CASCADE_HEAD.IOUS = (0.65, 0.7, 0.75)
    cfg.MODEL.ROI_BOX_HEAD.FC_DIM = 32
    cfg.MODEL.ROI_MASK_HEAD.CONV_DIM = 16
    cfg.MODEL.RPN.POST_NMS_TOPK_TRAIN = cfg.MODEL.RPN.POST_NMS_TOPK_TEST = 50
    cfg.TEST.DETECTIONS_PER_IMAGE = 5
    cfg.MODEL.ROI_HEADS.update(roi_heads)
    return cfg


def test_a_cascade_of_heads_that_samples_in_every_stage():
    cfg = cascade_rcnn()
    cfg.MODEL.ROI_BOX_CASCADE_HEAD.STAGE_LOSS_WEIGHTS = [1.0, 0.6, 0.3]
    model = build_model(cfg)
    heads = model.roi_heads
    assert isinstance(heads, ResamplingCascadeROIHeads)
    assert heads.stage_loss_weights == (1.0, 0.6, 0.3)
    assert [tuple(m.thresholds[1:-1]) for m in heads.proposal_matchers] == [
        (0.65,), (0.7,), (0.75,)
    ]  # fmt: skip
    trained_on = []
    heads._forward_mask = lambda features, samples: trained_on.extend(samples) or {}
    batch = [image_with_an_object(), image_with_an_object()]
    with EventStorage() as storage:
        losses = model(batch)
    roi_losses = {k for k in losses if not k.startswith("loss_rpn")}
    assert roi_losses == {f"loss_{k}_stage{s}" for k in ("cls", "box_reg") for s in range(3)}
    # Masks are learned from the samples of the first stage, which know theirs.
    assert len(trained_on) == 2 and all(s.has("gt_masks") for s in trained_on)
    assert {"roi_head/num_fg_samples", "stage2/roi_head/num_fg_samples"} <= storage.latest().keys()
    del heads._forward_mask
    with EventStorage():
        loss = model(batch)["loss_mask"]
    loss.backward()
    assert loss > 0 and heads.mask_head.predictor.weight.grad.abs().max() > 0
    with torch.no_grad():
        detections = model.eval()(batch)[0]["instances"]
    assert len(detections) == 5 and detections.pred_masks.shape[1:] == (128, 160)
    detections.remove("pred_masks")
    with torch.no_grad():  # masks of given boxes
        again = model.inference(batch[:1], [detections])[0]["instances"]
    assert again.pred_masks.shape == (5, 128, 160)


def test_what_a_cascade_of_heads_cannot_do():
    with pytest.raises(ValueError, match=r"IOU_THRESHOLDS must be \[0.65\].*instead of \[0.5\]"):
        build_model(cascade_rcnn(IOU_THRESHOLDS=[0.5]))
    cfg = cascade_rcnn()
    cfg.MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG = False
    with pytest.raises(ValueError, match="CLS_AGNOSTIC_BBOX_REG to True"):
        build_model(cfg)


def scored_cascade(**cpm: object) -> CfgNode:
    cfg = stock_with_cascade_rpn(
        "Misc/cascade_mask_rcnn_R_50_FPN_1x.yaml", generator="scored_cascade_rcnn"
    )
    cfg.MODEL.CPM.update(cpm)
    return cfg


def test_a_stock_cascade_gets_scores():
    cfg = scored_cascade(SCORE_GAMMA=0.7)
    cfg.MODEL.CPM.ISM.TARGET = cfg.MODEL.CPM.RSM.POSITIVES = "output"
    cfg.MODEL.CPM.ISM.FC_DIM = cfg.MODEL.ROI_BOX_HEAD.FC_DIM = 32
    cfg.MODEL.ROI_MASK_HEAD.CONV_DIM = 16
    cfg.MODEL.RPN.POST_NMS_TOPK_TRAIN = cfg.MODEL.RPN.POST_NMS_TOPK_TEST = 50
    cfg.TEST.DETECTIONS_PER_IMAGE, cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST = 5, 0.0
    model = build_model(cfg)
    assert isinstance(model.roi_heads, ScoredCascadeROIHeads)
    assert model.roi_heads.iou_target == model.roi_heads.resampling_positives == "output"
    assert model.roi_heads.score_gamma == 0.7
    batch = [image_with_an_object(), image_with_an_object()]
    with EventStorage():
        losses = model(batch)
    assert {"loss_ism", "loss_rsm", "loss_mask", "loss_cls_stage1"} <= losses.keys()
    assert "loss_cls_stage2" not in losses
    with torch.no_grad():
        detections = model.eval()(batch)[0]["instances"]
    assert detections.pred_masks.shape == (5, 128, 160)
    cfg.MODEL.CPM.ISM.ENABLED = cfg.MODEL.CPM.RSM.ENABLED = False
    plain = build_model(cfg).roi_heads
    assert plain.iou_scoring is None and plain.resampling_scoring is None


def test_the_scored_cascade_is_the_same_in_either_kind_of_config(repository):
    cfg = scored_cascade()
    cfg.MODEL.MASK_ON, cfg.MODEL.ROI_HEADS.NUM_CLASSES = False, 80
    shapes = {f"p{n}": ShapeSpec(channels=256, stride=2**n) for n in (2, 3, 4, 5)}
    yacs = build_roi_heads(cfg, shapes)
    common = LazyConfig.load(str(repository / "configs/common/models/scored_cascade_rcnn_fpn.py"))
    lazy = instantiate(common.model.roi_heads)
    weights = [{k: v.shape for k, v in x.state_dict().items()} for x in (yacs, lazy)]
    assert weights[0] == weights[1]
    for name in (
        "batch_size_per_image", "positive_fraction", "proposal_append_gt", "box_in_features",
        "stage_loss_weights", "iou_target", "iou_from_objects", "resampling_positives",
        "score_gamma",
    ):  # fmt: skip
        assert getattr(yacs, name) == getattr(lazy, name), name
    assert [m.thresholds[1] for m in yacs.proposal_matchers] == [0.5, 0.6]
    assert [m.thresholds[1] for m in lazy.proposal_matchers] == [0.5, 0.6]
    for ours, theirs in zip(yacs.box_predictor, lazy.box_predictor, strict=True):
        assert list(ours.box2box_transform.weights) == list(theirs.box2box_transform.weights)
        for name in (
            "smooth_l1_beta", "test_score_thresh", "test_nms_thresh", "test_topk_per_image",
        ):  # fmt: skip
            assert getattr(ours, name) == getattr(theirs, name), name
    for name, weight in (("iou_scoring", 1.0), ("resampling_scoring", 0.2)):
        ours, theirs = getattr(yacs, name), getattr(lazy, name)
        assert ours.loss_weight == theirs.loss_weight == weight
    assert yacs.iou_scoring.kind == lazy.iou_scoring.kind == "l2"
    assert vars(yacs.resampling_scoring.sampler) == vars(lazy.resampling_scoring.sampler)


def ga_retinanet(**retinanet: object) -> CfgNode:
    cfg = get_cfg()
    add_cascade_rpn_config(cfg)
    cfg.merge_from_file(model_zoo.get_config_file("COCO-Detection/retinanet_R_50_FPN_1x.yaml"))
    cfg.merge_from_file(model_zoo.get_config_file("yacs/guided_anchor_retinanet.yaml"))
    cfg.MODEL.WEIGHTS, cfg.MODEL.DEVICE = "", "cpu"
    cfg.MODEL.RESNETS.NORM, cfg.MODEL.RESNETS.DEPTH = "BN", 18
    cfg.MODEL.RESNETS.RES2_OUT_CHANNELS, cfg.MODEL.FPN.OUT_CHANNELS = 64, 32
    cfg.MODEL.RETINANET.NUM_CLASSES, cfg.MODEL.RETINANET.NUM_CONVS = 3, 1
    cfg.MODEL.RETINANET.update(retinanet)
    return cfg


def test_a_stock_retinanet_becomes_ga_retinanet():
    model = build_model(ga_retinanet())
    assert isinstance(model, GuidedAnchorRetinaNet)
    lazy = model_zoo.get_config("guided_anchoring/ga_retinanet_r50_fpn_1x.py").model
    for ours, theirs in (
        (model.refinement.assigner, lazy.refinement.assigner),
        (model.refinement.box_loss, lazy.refinement.box_loss),
        (model.refinement.cls_loss, lazy.refinement.cls_loss),
        (model.shape.assigner, lazy.shape.assigner),
        (model.shape.sampler, lazy.shape.sampler),
        (model.shape.box_loss, lazy.shape.box_loss),
        (model.location_loss.assigner, lazy.location_loss.assigner),
    ):
        assert vars(ours) == vars(instantiate(theirs))
    for name in ("refinement", "shape"):
        assert getattr(model, name).box_coder.stds == (1.0,) * 4
    assert model.shape.box_coder.max_side_ratio == lazy.shape.box_coder.max_side_ratio
    assert isinstance(model.backbone.top_block, LastLevelP6P7WithoutReLU)
    with EventStorage():
        losses = model([image_with_an_object()])
    assert {"loss_cls", "loss_box_reg", "loss_anchor_loc", "loss_anchor_shape"} == losses.keys()
    assert all(loss.isfinite() for loss in losses.values())


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("RETINANET.NORM", "BN", "NORM is '' for GuidedAnchorRetinaNet, not 'BN'"),
        ("RETINANET.BBOX_REG_WEIGHTS", (1.0, 0.0, 1.0, 1.0), "RETINANET.BBOX_REG_WEIGHTS has four"),
        ("RETINANET.BBOX_REG_LOSS_TYPE", "giou", "is 'smooth_l1' .* not 'giou'"),
        ("RETINANET.IOU_LABELS", [0, -1, 1], r"takes one value with IOU_LABELS \[0, 1\], or two"),
        ("GUIDED_ANCHOR.ADAPTION", "none", "ADAPTION 'shape', 'learned' or 'plain', not 'none'"),
        ("GUIDED_ANCHOR.SHAPE.PREDICTS", "box", "PREDICTS is 'size' .* not 'box'"),
    ],
)
def test_what_ga_retinanet_has_not(key, value, message):
    cfg = ga_retinanet()
    cfg.merge_from_list([f"MODEL.{key}", value])
    with pytest.raises(ValueError, match=message):
        build_model(cfg)


@pytest.mark.parametrize("retinanet", [False, True])
def test_default_predictor_serves_it_unmodified(tmp_path, retinanet):
    stock = "COCO-Detection/faster_rcnn_R_50_FPN_1x.yaml"
    cfg = ga_retinanet(PRIOR_PROB=0.5) if retinanet else stock_with_cascade_rpn(stock)
    cfg.MODEL.GUIDED_ANCHOR.LOCATION.THRESHOLD = 0.0
    model = build_model(cfg)
    torch.save({"model": model.state_dict()}, tmp_path / "model.pth")
    cfg.MODEL.WEIGHTS, cfg.INPUT.MIN_SIZE_TEST = str(tmp_path / "model.pth"), 128
    predictor = DefaultPredictor(cfg)
    for ours, theirs in zip(model.parameters(), predictor.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    image = np.random.default_rng(0).integers(0, 255, (120, 150, 3), dtype=np.uint8)
    instances = predictor(image)["instances"]
    assert instances.image_size == (120, 150) and len(instances) > 0
    assert {"pred_boxes", "scores", "pred_classes"} <= set(instances.get_fields())


def test_the_keys_survive_a_round_trip_through_yaml(tmp_path):
    cfg = stock_with_cascade_rpn("COCO-Detection/faster_rcnn_R_50_FPN_1x.yaml")
    cfg.MODEL.CASCADE_RPN.LOC_LOSS_WEIGHT = 3.0
    (tmp_path / "saved.yaml").write_text(cfg.dump())
    other = get_cfg()
    add_cascade_rpn_config(other)
    other.merge_from_file(str(tmp_path / "saved.yaml"))
    assert other.MODEL.CASCADE_RPN == cfg.MODEL.CASCADE_RPN


def test_a_key_of_an_older_version_is_ignored_and_said(caplog: pytest.LogCaptureFixture):
    cfg = get_cfg()
    add_cascade_rpn_config(cfg)
    before = cfg.dump()
    cfg.merge_from_list(["MODEL.ROI_GRID_HEAD.MAX_ROIS_PER_BATCH", 192])
    assert cfg.dump() == before
    assert "MODEL.ROI_GRID_HEAD.MAX_ROIS_PER_BATCH" in caplog.text
