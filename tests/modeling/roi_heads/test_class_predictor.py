"""Scores without boxes: the loss, what is kept, and that boxes stay where they are."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from detectron2.layers import ShapeSpec
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage

from cascade_rpn_d2.modeling import ClassPredictor
from tests.modeling.roi_heads.toy_heads import proposals

SIZE = (80, 100)
BOXES = torch.tensor([[10.0, 10, 30, 30], [11, 10, 31, 30], [50, 50, 120, 70], [0, 60, 9, 79]])


def predictor(**changes) -> ClassPredictor:
    return ClassPredictor(ShapeSpec(channels=4), num_classes=2, **changes)


def labelled(*classes: int) -> Instances:
    return Instances(SIZE, gt_classes=torch.tensor(classes))


def test_it_has_the_classifier_of_detectron2_and_no_more():
    head = ClassPredictor(ShapeSpec(channels=4, height=2, width=2), num_classes=2)
    assert {name: p.shape for name, p in head.named_parameters()} == {
        "cls_score.weight": (3, 16),
        "cls_score.bias": (3,),
    }
    assert head(torch.zeros(5, 4, 2, 2)).shape == (5, 3)
    assert head.cls_score.bias.abs().max() == 0 and head.cls_score.weight.std() < 0.02


def test_loss_is_the_mean_cross_entropy():
    logits = torch.randn(5, 3)
    losses = predictor(loss_weight=2.0).losses(logits, [labelled(0, 2), labelled(1, 1, 2)])
    expected = 2 * F.cross_entropy(logits, torch.tensor([0, 2, 1, 1, 2]))
    assert losses.keys() == {"loss_cls"}
    assert losses["loss_cls"].item() == pytest.approx(expected.item())


def test_no_boxes_have_no_loss():
    logits = torch.zeros(0, 3, requires_grad=True)
    loss = predictor().losses(logits, [labelled()])["loss_cls"]
    assert loss.item() == 0
    loss.backward()


def test_accuracy_is_logged_now_and_then():
    logits = 9 * F.one_hot(torch.tensor([0, 1, 2, 2]), 3).float()
    with EventStorage() as storage:
        for _ in range(4):
            predictor(log_period=3).losses(logits, [labelled(0, 0, 1, 2)])
            storage.step()
    assert storage.history("fast_rcnn/cls_accuracy").values() == [(0.5, 2)]
    assert storage.history("fast_rcnn/fg_cls_accuracy").latest() == pytest.approx(1 / 3)
    assert storage.history("fast_rcnn/false_negative").latest() == pytest.approx(1 / 3)


def test_proposals_are_suppressed_and_clipped_but_not_moved():
    # The first two overlap and are of the first class; the third one is of both classes.
    logits = torch.tensor([[5.0, 0, 0], [4, 0, 0], [1, 0.9, 0], [-9, -9, 9]])
    (found,), (kept,) = predictor(test_score_thresh=0.1).inference(logits, [proposals(BOXES)])
    assert kept.tolist() == [0, 2, 2]
    assert found.pred_classes.tolist() == [0, 0, 1]
    probabilities = logits.softmax(dim=1)
    assert torch.equal(found.scores, probabilities[kept, found.pred_classes])
    assert found.pred_boxes.tensor.tolist() == [[10, 10, 30, 30]] + [[50, 50, 100, 70]] * 2


def test_limits():
    logits = torch.randn(4, 3)
    for limit, expected in ((3, 3), (-1, None)):
        head = predictor(test_score_thresh=0.0, test_nms_thresh=1.0, test_topk_per_image=limit)
        (found,), _ = head.inference(logits, [proposals(BOXES)])
        assert len(found) == (8 if expected is None else expected)
        assert (found.scores.diff() <= 0).all()
    (found, nothing), (kept, none) = predictor(test_score_thresh=0.0).inference(
        logits, [proposals(BOXES), proposals(BOXES[:0])]
    )
    assert len(found) == len(kept) > 0 and len(nothing) == len(none) == 0
    assert isinstance(found.pred_boxes, Boxes) and found.pred_boxes.tensor[:, 2].max() <= 100
