"""The scores of refined boxes: what they learn, and how they are fused."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from detectron2.layers import ShapeSpec
from detectron2.structures import Boxes, Instances

from cascade_rpn_d2.modeling import GroundTruth, IoUScoring
from cascade_rpn_d2.modeling.roi_heads import ScoreParts, fuse_scores
from tests.modeling.roi_heads.toy_heads import (
    CLASSES,
    NOTHING,
    OBJECTS,
    SIZE,
    around,
    background,
    iou_scoring,
    resampling_scoring,
)

IOU = torch.tensor([0.9, 0.5, 0.6])
PREDICTED = torch.tensor([[0.1, 0.7], [0.8, 0.5], [-0.6, 2.6]])
ERROR = PREDICTED - torch.stack((1 - IOU, IOU), dim=1)
ALL = torch.ones(3, dtype=torch.bool)


def test_layers_are_the_released_ones():
    ism = IoUScoring(ShapeSpec(channels=576, height=7, width=7))
    assert [p.shape[1] for p in ism.parameters() if p.dim() == 2] == [28224, 1024, 1024]
    assert sum(p.numel() for p in ism.parameters()) == 29_954_050
    assert ism.iou_pred.weight.std().item() == pytest.approx(0.01, rel=0.1)


@pytest.mark.parametrize("kind, per_number", [
    ("l2", 0.5 * ERROR**2),
    ("l1", ERROR.abs()),
    ("smooth_l1", torch.where(ERROR.abs() < 0.25, 2 * ERROR**2, ERROR.abs() - 0.125)),
])  # fmt: skip
def test_iou_losses(kind, per_number):
    ism = iou_scoring(loss=kind, beta=0.25, loss_weight=1.5)
    expected = 1.5 * per_number.sum(dim=1)
    assert ism.loss(PREDICTED, IOU, ALL).item() == pytest.approx(expected.mean().item())
    some = torch.tensor([True, False, True])
    assert ism.loss(PREDICTED, IOU, some).item() == pytest.approx(expected[some].mean().item())


def test_every_box_has_the_same_weight():
    """Unlike in the released code, where the first two count about R/2 times as much."""
    predicted = torch.zeros(50, 2, requires_grad=True)
    iou_scoring().loss(predicted, torch.full((50,), 0.5), torch.ones(50).bool()).backward()
    assert torch.allclose(predicted.grad, torch.full((50, 2), -0.5 / 50))


def test_no_boxes_still_reach_every_parameter():
    ism = iou_scoring()
    loss = ism.loss(ism(torch.zeros(0, 36, 2, 2)), torch.zeros(0), torch.zeros(0).bool())
    assert loss.item() == 0
    loss.backward()
    assert all((p.grad == 0).all() for p in ism.parameters())


def test_scores_are_the_second_number_and_never_negative():
    scores = IoUScoring.scores(torch.tensor([[0.3, 0.7], [0, -2.0], [0, 5]]))
    assert scores.tolist() == pytest.approx([0.7, 1e-6, 1])


def test_an_unknown_loss_is_refused():
    with pytest.raises(ValueError, match="'l1', 'smooth_l1' or 'l2', not 'l3'"):
        iou_scoring(loss="l3")


def test_fused_scores():
    score, iou, resampled = torch.tensor([0.5]), torch.tensor([0.8]), torch.tensor([0.9])
    assert fuse_scores(score).item() == 0.5
    assert fuse_scores(score, iou).item() == pytest.approx(0.4)  # no exponent
    assert fuse_scores(score, None, resampled).item() == pytest.approx(0.5**0.8 * 0.9**0.2)
    assert fuse_scores(score, iou, resampled).item() == pytest.approx(0.4**0.8 * 0.9**0.2)
    assert fuse_scores(score, iou, resampled, gamma=1).item() == pytest.approx(0.4)
    assert fuse_scores(score, iou, resampled, gamma=0).item() == pytest.approx(0.9)
    assert ScoreParts(score, iou, resampled, 0.5).fused.item() == pytest.approx(0.36**0.5)
    assert ScoreParts(score).fused.item() == 0.5


def test_negative_ious_give_small_scores_and_not_nan():
    fused = fuse_scores(torch.tensor([0.9, 0.8]), torch.tensor([-0.4, 0.1]), torch.tensor([1.0, 1]))
    assert 0 < fused[0] < fused[1] < 1
    assert fuse_scores(torch.zeros(1), torch.zeros(1), torch.zeros(1)).item() == 0


def sample_of(count: int, targets: Instances, classes: int = CLASSES) -> Instances:
    boxes = Boxes(background(count))
    return Instances(SIZE, proposal_boxes=boxes, gt_classes=torch.full((count,), classes))


def draw(rsm, samples, boxes, active, targets):
    chosen, classes = rsm.sample(samples, boxes, active, GroundTruth.from_instances(targets))
    return [x.tensor for x in chosen], list(classes.split([len(x) for x in chosen]))


def test_boxes_are_labelled_anew():
    objects = OBJECTS.gt_boxes.tensor
    boxes = torch.cat((objects, around(objects, 2), objects + 40))
    active = torch.ones(len(boxes), dtype=torch.bool)
    (chosen,), (classes,) = draw(
        resampling_scoring(), [sample_of(10, OBJECTS)], [boxes], [active], [OBJECTS]
    )
    assert len(chosen) == 10 + len(boxes)
    for box, label in zip(chosen, classes, strict=True):
        near = (box - objects).abs().amax(dim=1) <= 2
        assert label == (OBJECTS.gt_classes[near][0] if near.any() else CLASSES)


def test_positives_reach_the_iou():
    """Half and three quarters of an object."""
    x1, y1, x2, y2 = OBJECTS.gt_boxes.tensor[0].tolist()
    boxes = torch.tensor([[x1, y1, x1 + iou * (x2 - x1), y2] for iou in (0.5, 0.75)])
    active = torch.ones(2, dtype=torch.bool)
    for min_iou, positives in ((0.45, 2), (0.5, 2), (0.55, 1), (0.8, 0)):
        rsm = resampling_scoring(min_iou=min_iou)
        _, (classes,) = draw(rsm, [sample_of(0, OBJECTS)], [boxes], [active], [OBJECTS])
        assert len(classes) == 2 and int((classes < CLASSES).sum()) == positives


def test_positives_of_the_first_sample_and_inactive_boxes_are_not_learnt_from():
    objects = OBJECTS.gt_boxes.tensor
    sample = sample_of(8, OBJECTS)
    sample.gt_classes[:3] = 1
    (chosen,), _ = draw(
        resampling_scoring(), [sample], [objects], [torch.tensor([True, False])], [OBJECTS]
    )
    expected = torch.cat((sample.proposal_boxes.tensor[3:], objects[:1]))
    assert sorted(chosen.tolist()) == sorted(expected.tolist())


def test_size_and_share_of_positives():
    rsm = resampling_scoring(batch_size_per_image=16, positive_fraction=0.25)
    near = around(OBJECTS.gt_boxes.tensor, 10, pixels=1)
    active = torch.ones(20, dtype=torch.bool)
    chosen, classes = draw(
        rsm,
        [sample_of(30, OBJECTS), sample_of(5, OBJECTS)],
        [near, near],
        [active, active],
        [OBJECTS, OBJECTS],
    )
    assert [len(x) for x in chosen] == [16, 4 + 5]
    assert [int((x < CLASSES).sum()) for x in classes] == [4, 4]


def test_images_without_objects_and_without_boxes():
    rsm = resampling_scoring()
    chosen, classes = draw(
        rsm,
        [sample_of(4, NOTHING), sample_of(0, NOTHING)],
        [torch.zeros(0, 4), torch.zeros(0, 4)],
        [torch.zeros(0).bool()] * 2,
        [NOTHING, NOTHING],
    )
    assert [len(x) for x in chosen] == [4, 0] and (classes[0] == CLASSES).all()
    loss = rsm.loss(rsm(torch.zeros(0, 4, 2, 2)), torch.zeros(0, dtype=torch.int64))
    assert loss.item() == 0
    loss.backward()
    assert all((p.grad == 0).all() for p in rsm.parameters())


def test_resampling_loss_is_the_mean_of_what_is_learnt_from():
    rsm = resampling_scoring(loss_weight=0.2)
    logits = torch.randn(4, CLASSES + 1)
    classes = torch.tensor([0, -1, CLASSES, 2])
    expected = 0.2 * F.cross_entropy(logits[[0, 2, 3]], classes[[0, 2, 3]])
    assert rsm.loss(logits, classes).item() == pytest.approx(expected.item())


def test_resampled_scores_are_those_of_the_own_class():
    logits = torch.randn(3, CLASSES + 1)
    classes = torch.tensor([2, 0, 1])
    found = resampling_scoring().scores(logits, classes)
    assert torch.equal(found, logits.softmax(dim=1)[torch.arange(3), classes])


@pytest.mark.gpu
def test_on_a_gpu_nothing_waits_and_the_rest_weighs_nothing():
    rsm = resampling_scoring().cuda()
    near = around(OBJECTS.gt_boxes.tensor, 3).cuda()
    sample = sample_of(6, OBJECTS).to("cuda")
    active = torch.ones(6, dtype=torch.bool, device="cuda")
    objects = GroundTruth.from_instances([OBJECTS.to("cuda")])
    torch.cuda.set_sync_debug_mode("error")
    try:
        chosen, classes = rsm.sample([sample], [near], [active], objects)
        rsm.loss(rsm.cls_score(torch.zeros(len(classes), 8, device="cuda")), classes)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len(chosen[0]) == len(classes)
    assert int((classes >= 0).sum()) == 12
