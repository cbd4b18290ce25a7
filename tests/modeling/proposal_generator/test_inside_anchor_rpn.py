"""Which anchors learn which objects when those across the border are left out."""

from __future__ import annotations

import pytest
import torch
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.modeling.matcher import Matcher
from detectron2.modeling.proposal_generator import (
    PROPOSAL_GENERATOR_REGISTRY,
    RPN,
    StandardRPNHead,
)
from detectron2.structures import Boxes, ImageList, Instances
from detectron2.utils.events import EventStorage

from cascade_rpn_d2.modeling import InsideAnchorRPN, SymmetricBox2BoxTransform

# One anchor of 32 px in each of 4x4 cells of 16 px. Those of the four cells in the middle are
# inside an image of 64 px: cells 5, 6, 9 and 10, the first from (8, 8) to (40, 40).
SIZE = (64, 64)
INSIDE = [5, 6, 9, 10]
AT_THE_BORDER = (0.0, 0, 24, 24)  # IoU 0.56 with the anchor of cell 0, 0.19 with that of cell 5
IN_THE_CORNER = (0.0, 0, 6, 6)  # overlaps no anchor inside


def build(cls=InsideAnchorRPN, boundary: float = 0, **changes) -> RPN:
    arguments = {
        "in_features": ["conv5"],
        "head": StandardRPNHead(in_channels=2, num_anchors=1),
        "anchor_generator": DefaultAnchorGenerator(
            sizes=[[32]], aspect_ratios=[1.0], strides=[16], offset=0.5
        ),
        "anchor_matcher": Matcher([0.3, 0.7], [0, -1, 1], allow_low_quality_matches=True),
        "box2box_transform": SymmetricBox2BoxTransform(weights=[1.0, 1.0, 1.0, 1.0]),
        "batch_size_per_image": 256,  # more than there are: nothing is left to chance
        "positive_fraction": 0.5,
        "pre_nms_topk": (50, 50),
        "post_nms_topk": (20, 20),
        "anchor_boundary_thresh": boundary,
    }
    return cls(**arguments | changes)


def objects(*boxes: tuple[float, ...], size: tuple[int, int] = SIZE) -> Instances:
    return Instances(size, gt_boxes=Boxes(torch.tensor(boxes).view(-1, 4)))


def assign(generator: RPN, *images: Instances) -> tuple[list[list[int]], list[torch.Tensor]]:
    anchors = generator.anchor_generator([torch.zeros(len(images), 2, 4, 4)])
    labels, boxes = generator.label_and_sample_anchors(anchors, list(images))
    return [x.tolist() for x in labels], boxes


def only(labels: list[int], value: int) -> list[int]:
    return [i for i, label in enumerate(labels) if label == value]


def test_an_object_at_the_border_claims_the_best_anchor_inside():
    (labels,), (boxes,) = assign(build(), objects(AT_THE_BORDER))
    assert only(labels, 1) == [5] and only(labels, 0) == [6, 9, 10]
    assert boxes[5].tolist() == list(AT_THE_BORDER)
    # Where Detectron2 has nothing learn it.
    (labels,), _ = assign(build(RPN), objects(AT_THE_BORDER))
    assert only(labels, 1) == [] and only(labels, 0) == INSIDE


def test_an_object_that_overlaps_no_anchor_inside_claims_nothing():
    (labels,), _ = assign(build(), objects(IN_THE_CORNER))
    assert only(labels, 1) == [] and only(labels, 0) == INSIDE
    # Anchors that overlap another object a little, as that of cell 6 does, stay negative too.
    other = (8.0, 8, 40, 24)
    (labels,), (boxes,) = assign(build(), objects(IN_THE_CORNER, other))
    assert only(labels, 1) == [5] and only(labels, 0) == [6, 9, 10]
    assert boxes[5].tolist() == list(other)


def test_images_of_a_batch_have_borders_and_objects_of_their_own():
    batch = objects(AT_THE_BORDER), objects(), objects((8.0, 8, 40, 24), size=(64, 48))
    labels, boxes = assign(build(), *batch)
    assert only(labels[0], 1) == [5] and only(labels[1], 0) == INSIDE
    # In an image 48 px wide, the anchors of cells 6 and 10 cross the border.
    assert only(labels[2], 1) == [5] and only(labels[2], 0) == [9]
    assert all(each.shape == (16, 4) for each in boxes)


def test_with_a_negative_threshold_it_is_detectron2s_rpn():
    images = objects(AT_THE_BORDER, (20.0, 24, 60, 64)), objects((30.0, 2, 62, 30))
    ours, theirs = (assign(build(cls, boundary=-1), *images) for cls in (InsideAnchorRPN, RPN))
    assert ours[0] == theirs[0]
    for mine, other, labels in zip(ours[1], theirs[1], ours[0], strict=True):
        assert torch.equal(mine[only(labels, 1)], other[only(labels, 1)])


def test_anchors_may_reach_over_the_border_by_the_threshold():
    (labels,), _ = assign(build(boundary=9), objects(AT_THE_BORDER))
    assert only(labels, 1) == [0] and only(labels, -1) == [1, 4]  # with an IoU of 0.32


@pytest.mark.parametrize("size", [SIZE, (20, 20)])
def test_a_step_has_finite_losses_even_where_no_anchor_is_inside(size):
    generator = build()
    images = ImageList(torch.zeros(1, 3, *size), [size])
    features = {"conv5": torch.randn(1, 2, 4, 4)}
    with EventStorage():
        proposals, losses = generator(images, features, [objects((2.0, 2, 18, 18), size=size)])
    sum(losses.values()).backward()
    assert all(loss.isfinite() for loss in losses.values())
    assert all(p.grad is not None for p in generator.parameters())
    assert (losses["loss_rpn_cls"] > 0) == (size == SIZE)
    assert len(proposals) == 1


def test_it_is_registered():
    assert PROPOSAL_GENERATOR_REGISTRY.get("InsideAnchorRPN") is InsideAnchorRPN
