"""What is traced is what is detected, in pixels of the image that was given."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from detectron2.structures import Boxes

from cascade_rpn_d2.engine.grid_traces import point_guided_heads, trace_grid
from cascade_rpn_d2.layers import decode_grid_boxes
from tests.engine.grid_scenes import made_up
from tests.engine.tiny_models import tiny_model

IMAGE = np.random.default_rng(0).integers(0, 256, (70, 90, 3), dtype=np.uint8)
# Scaled, so that pixels of the model are not those of the image.
RESIZE = (
    "dataloader.test.mapper.augmentations=[{_target_: %s,short_edge_length: 105,max_size: 200}]"
)


@pytest.fixture(scope="module")
def predictor():
    resize = RESIZE % "detectron2.data.transforms.ResizeShortestEdge"
    return tiny_model("tiny_cpm_rcnn", resize).load("cpu", trained=False)


@pytest.fixture(scope="module")
def trace(predictor):
    return trace_grid(predictor, IMAGE)


def test_the_last_boxes_are_the_detections(predictor, trace):
    assert predictor.preprocess(IMAGE)["image"].shape == (3, 105, 135)
    detected = predictor([IMAGE])[0]["instances"]
    kept = Boxes(trace.clipped()).nonempty()  # no others are returned
    assert kept.any() and trace.image_size == (70, 90)
    torch.testing.assert_close(trace.clipped()[kept], detected.pred_boxes.tensor)
    torch.testing.assert_close(trace.scores["fused"][kept], detected.scores)
    assert torch.equal(trace.classes[kept], detected.pred_classes)
    assert (trace.scores["fused"].diff() <= 0).all()


def test_every_stage_reads_its_boxes_from_its_maps(trace):
    count = len(trace)
    assert trace.boxes.shape == (3, count, 4) and trace.mapping_ratios == [2.0, 1.5]
    assert [logits.shape for logits in trace.logits] == [(count, 9, 28, 28)] * 2
    for number, (logits, ratio) in enumerate(zip(trace.logits, trace.mapping_ratios, strict=True)):
        read = decode_grid_boxes(logits, trace.boxes[number], mapping_ratio=ratio)
        torch.testing.assert_close(read, trace.boxes[number + 1], rtol=1e-4, atol=1e-3)


def test_the_parts_of_a_score_are_told(trace):
    assert list(trace.scores) == ["classification", "ISM", "RSM", "fused"]
    score, iou, resampled, fused = trace.scores.values()
    torch.testing.assert_close(fused, (score * iou) ** 0.8 * resampled**0.2)


def test_a_detector_without_scoring_has_one_score_and_stops_where_it_is_tested():
    heads = "model.roi_heads"
    changes = (f"{heads}.iou_scoring=null", f"{heads}.resampling_scoring=null")
    model = tiny_model("tiny_cpm_rcnn", *changes, f"+{heads}.test_stage=1")
    trace = trace_grid(model.load("cpu", trained=False), IMAGE)
    assert list(trace.scores) == ["classification"]
    assert trace.boxes.shape[0] == 2 and len(trace.logits) == len(trace.mapping_ratios) == 1


def test_an_object_is_that_of_the_class_that_is_overlapped_most():
    final = [[10.0, 10, 50, 50], [10, 10, 50, 50], [-20, 10, 50, 50]]
    trace = made_up([final, final], classes=[0, 1, 2])
    objects = torch.tensor([[10.0, 10, 50, 30], [10, 10, 50, 40], [0, 10, 50, 50]])
    index, iou = trace.match(objects, torch.tensor([0, 0, 2]))
    assert iou.tolist() == [0.75, 0, 1]  # the last one is clipped to the image
    assert index[0] == 1 and index[2] == 2
    index, iou = trace.match(objects[:0], torch.zeros(0, dtype=torch.int64))
    assert len(index) == 3 and iou.tolist() == [0, 0, 0]


def test_other_models_are_refused():
    for name, words in (("tiny_rpn", "ProposalNetwork"), ("tiny_faster_rcnn", "StandardROIHeads")):
        model = tiny_model(name).load("cpu", trained=False).model
        with pytest.raises(ValueError, match=f"{words} has no heat maps of grid points: give"):
            point_guided_heads(model)
