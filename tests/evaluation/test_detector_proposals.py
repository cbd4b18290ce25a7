"""The proposals inside a detector are those its ROI heads get."""

from __future__ import annotations

import pytest
import torch
from detectron2.config import get_cfg
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import inference_on_dataset
from detectron2.modeling import ProposalNetwork, build_model

from cascade_rpn_d2.evaluation import ProposalRecallEvaluator, ProposalsOfDetector

NAME = "detector_proposals_test"


@pytest.fixture(scope="module")
def detector():
    torch.manual_seed(0)
    cfg = get_cfg()
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.WEIGHTS = ""
    cfg.MODEL.BACKBONE.NAME = "build_resnet_fpn_backbone"
    cfg.MODEL.RESNETS.DEPTH = 18
    cfg.MODEL.RESNETS.NORM = "BN"
    cfg.MODEL.RESNETS.RES2_OUT_CHANNELS = 64
    cfg.MODEL.RESNETS.OUT_FEATURES = ["res2", "res3", "res4", "res5"]
    cfg.MODEL.FPN.IN_FEATURES = ["res2", "res3", "res4", "res5"]
    cfg.MODEL.FPN.OUT_CHANNELS = 16
    cfg.MODEL.ANCHOR_GENERATOR.SIZES = [[16], [32], [64], [128], [256]]
    cfg.MODEL.RPN.IN_FEATURES = ["p2", "p3", "p4", "p5", "p6"]
    cfg.MODEL.RPN.POST_NMS_TOPK_TEST = 50
    cfg.MODEL.ROI_HEADS.NAME = "StandardROIHeads"
    cfg.MODEL.ROI_HEADS.IN_FEATURES = ["p2", "p3", "p4", "p5"]
    cfg.MODEL.ROI_BOX_HEAD.NAME = "FastRCNNConvFCHead"
    cfg.MODEL.ROI_BOX_HEAD.NUM_FC = 1
    cfg.MODEL.ROI_BOX_HEAD.FC_DIM = 16
    return build_model(cfg).eval()


def batch(count: int = 2) -> list[dict]:
    rng = torch.Generator().manual_seed(0)
    images = [torch.rand(3, 64, 96, generator=rng) * 255 for _ in range(count)]
    return [
        {"image": image, "height": 128, "width": 192, "image_id": i}
        for i, image in enumerate(images)
    ]


def test_equals_a_proposal_network_of_the_same_parts(detector):
    network = ProposalNetwork(
        backbone=detector.backbone,
        proposal_generator=detector.proposal_generator,
        pixel_mean=detector.pixel_mean.flatten().tolist(),
        pixel_std=detector.pixel_std.flatten().tolist(),
    ).eval()
    with torch.no_grad():
        expected = network(batch())
    for ours, theirs in zip(ProposalsOfDetector(detector)(batch()), expected, strict=True):
        ours, theirs = ours["proposals"], theirs["proposals"]
        assert ours.image_size == (128, 192) and len(ours) > 0
        assert torch.equal(ours.proposal_boxes.tensor, theirs.proposal_boxes.tensor)
        assert torch.equal(ours.objectness_logits, theirs.objectness_logits)


def test_inference_on_dataset(detector):
    record = {"image_id": 0, "width": 192, "height": 128, "file_name": "x", "annotations": []}
    DatasetCatalog.register(NAME, lambda: [record])
    MetadataCatalog.get(NAME).thing_classes = ["thing"]
    try:
        results = inference_on_dataset(
            ProposalsOfDetector(detector), [batch(1)], ProposalRecallEvaluator(NAME)
        )
    finally:
        DatasetCatalog.remove(NAME)
        MetadataCatalog.remove(NAME)
    assert "AR@1000" in results["box_proposals"]


def test_only_in_evaluation_and_only_with_a_proposal_generator(detector):
    wrapped = ProposalsOfDetector(detector)
    wrapped.train()
    with pytest.raises(RuntimeError, match="eval"):
        wrapped(batch())
    wrapped.eval()
    with pytest.raises(ValueError, match="Linear makes no proposals"):
        ProposalsOfDetector(torch.nn.Linear(1, 1))
