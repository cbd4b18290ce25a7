"""Losses of a prediction with classes, against loops; those with objectness alone are tested with
the generators."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from detectron2.structures import Boxes, Instances

from cascade_rpn_d2.layers import box_iou
from cascade_rpn_d2.modeling import (
    BoxCoder,
    DenseSampler,
    Grid,
    GroundTruth,
    IoUAssigner,
    Refinement,
    SigmoidFocalLoss,
    SmoothL1Loss,
)
from cascade_rpn_d2.modeling.refinement import Prediction

GRIDS = [Grid(1, 6, 8)]
SIZES = torch.tensor([[64, 64], [64, 64]])


def truth_of(*images: tuple[list[list[float]], list[int]]) -> GroundTruth:
    instances = []
    for boxes, classes in images:
        x = Instances((64, 64))
        x.gt_boxes = Boxes(torch.tensor(boxes).reshape(-1, 4))
        x.gt_classes = torch.tensor(classes, dtype=torch.long)
        instances.append(x)
    return GroundTruth.from_instances(instances)


@pytest.fixture
def refinement() -> Refinement:
    return Refinement(
        box_coder=BoxCoder(),
        assigner=IoUAssigner(0.5, 0.4, None),
        sampler=DenseSampler(),
        box_loss=SmoothL1Loss(0.04),
        cls_loss=SigmoidFocalLoss(),
        loc_weight=2.0,
        cls_weight=3.0,
    )


# Against objects of 10 x 10: an IoU of 1, 0.8, 0.45 and 0; then one in the padding of the batch.
BOXES = torch.tensor(
    [
        [0.0, 0, 10, 10],
        [0, 0, 8, 10],
        [0, 0, 4.5, 10],
        [20, 20, 30, 30],
        [40, 40, 50, 50],
        [0, 0, 10, 10],
    ]
).repeat(2, 1, 1)
VALID = torch.tensor([True] * 5 + [False]).repeat(2, 1)


def test_every_class_is_learned_for_itself(refinement):
    truth = truth_of(([[0, 0, 10, 10], [40, 40, 50, 50]], [2, 0]), ([], []))
    prediction = Prediction(torch.randn(2, 6, 4), torch.randn(2, 6, 3))
    losses = refinement.losses(BOXES, prediction, truth, GRIDS, VALID, SIZES).losses

    wanted = {(0, 0): 2, (0, 1): 2, (0, 4): 0}  # (image, box) -> class
    ignored = {(0, 2), (0, 5), (1, 5)}
    cls, loc = 0.0, 0.0
    for place in ((image, box) for image in range(2) for box in range(6)):
        label = torch.zeros(3)
        if place in wanted:
            label[wanted[place]] = 1
            target = truth.boxes[place[0], 0 if wanted[place] == 2 else 1]
            deltas = BoxCoder().encode(BOXES[place], target)
            loc += F.smooth_l1_loss(prediction.deltas[place], deltas, reduction="sum", beta=0.04)
        if place not in ignored:
            cls += SigmoidFocalLoss()(prediction.logits[place], label).sum()
    normalizer = 3 + 1  # positives of the first image; the second counts as one with one
    torch.testing.assert_close(losses["cls"], 3 * cls / normalizer)
    torch.testing.assert_close(losses["loc"], 2 * loc / normalizer)


def test_statistics_are_those_of_the_positives(refinement):
    truth = truth_of(([[0, 0, 10, 10]], [1]), ([], []))
    prediction = Prediction(torch.zeros(2, 6, 4), torch.zeros(2, 6, 3))
    statistics = refinement.losses(BOXES, prediction, truth, GRIDS, VALID, SIZES).statistics
    assert statistics["num_pos"] == 1.0  # two, of two images
    expected = box_iou(BOXES[0, :2], truth.boxes[0, :1]).mean()
    torch.testing.assert_close(statistics["iou"], expected)


def test_classes_must_be_known(refinement):
    truth = truth_of(([], []), ([], []))
    unknown = GroundTruth(truth.boxes, truth.valid)
    prediction = Prediction(torch.zeros(2, 6, 4), torch.zeros(2, 6, 3))
    with pytest.raises(ValueError, match="need gt_classes beside gt_boxes"):
        refinement.losses(BOXES, prediction, unknown, GRIDS, VALID, SIZES)


IN_THE_MIDDLE = [20.0, 20, 30, 30]


@pytest.mark.parametrize(
    ("border", "across", "labels"),
    [
        (None, False, [1, 0, 0]),
        (0.0, False, [-1, 1, 0]),  # the object claims the best of those that teach
        (0.0, True, [-1, 0, 0]),  # it claims one that does not
        (2.0, False, [1, 0, 0]),
    ],
)
def test_boxes_across_the_border_teach_nothing(border, across, labels):
    """One reaches 2 px beyond the image."""
    refinement = Refinement(
        box_coder=BoxCoder(),
        assigner=IoUAssigner(0.9, 0.9, 0.01),
        sampler=DenseSampler(),
        box_loss=SmoothL1Loss(),
        border=border,
        match_across_border=across,
    )
    boxes = torch.tensor([[[-2.0, 0, 10, 10], [0, 0, 5, 10], IN_THE_MIDDLE]])
    truth = truth_of(([[0, 0, 9, 9]], [0]))
    valid, sizes = torch.ones(1, 3, dtype=torch.bool), torch.tensor([[40, 48]])
    found = refinement.assign(boxes, truth, [Grid(1, 3, 8)], valid, sizes)
    assert found.labels.tolist() == [labels]


def test_a_box_that_ends_at_the_border_crosses_it():
    """As the reference codes have it: the last column is the one before the width."""
    refinement = Refinement(
        box_coder=BoxCoder(),
        assigner=IoUAssigner(),
        sampler=DenseSampler(),
        box_loss=SmoothL1Loss(),
        border=0.0,
    )
    boxes = torch.tensor([[[0.0, 0, 48, 9], [0, 0, 47, 39.9], [0, 0, 9, 40]]])
    valid, sizes = torch.ones(1, 3, dtype=torch.bool), torch.tensor([[40, 48]])
    found = refinement.assign(boxes, truth_of(([], [])), [Grid(1, 3, 8)], valid, sizes)
    assert found.labels.tolist() == [[-1, 0, -1]]
