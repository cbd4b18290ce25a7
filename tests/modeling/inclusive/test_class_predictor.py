"""Suppression of classified boxes by their edges."""

from __future__ import annotations

import torch
from detectron2.layers import ShapeSpec
from detectron2.structures import Boxes, Instances

from cascade_rpn_d2.modeling import ClassPredictor, InclusiveClassPredictor


def infer(kind: type[ClassPredictor], boxes: list, thresh: float) -> Instances:
    predictor = kind(ShapeSpec(channels=4), num_classes=2, test_nms_thresh=thresh)
    logits = torch.tensor([[5.0, 0, 0], [4, 0, 0], [0, 4, 0]])[: len(boxes)]
    image = Instances((100, 200), proposal_boxes=Boxes(torch.tensor(boxes)))
    ((detections,), _) = predictor.inference(logits, [image])
    return detections


def test_boxes_suppress_each_other_by_the_iou_of_their_edges():
    boxes = [[0.0, 0, 3, 0.5], [1, 0, 4, 0.5], [1, 0, 4, 0.5]]
    # The IoU is 1/2 if the last pixel is the edge, and 3/5 by the edges.
    assert len(infer(ClassPredictor, boxes, 0.55)) == 3
    found = infer(InclusiveClassPredictor, boxes, 0.55)
    assert found.pred_classes.tolist() == [0, 1]
    assert found.pred_boxes.tensor.tolist() == [[0, 0, 3, 0.5], [1, 0, 4, 0.5]]


def test_the_last_pixel_of_the_image_stays():
    boxes = [[190.0, 90, 199, 99]]
    assert infer(InclusiveClassPredictor, boxes, 0.5).pred_boxes.tensor.tolist() == boxes
