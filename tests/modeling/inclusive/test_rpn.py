"""Proposals that name their last pixel."""

from __future__ import annotations

import pytest
import torch
from detectron2.structures import Boxes, ImageList
from torch import nn

from cascade_rpn_d2.modeling import (
    BoxCoder,
    InclusiveBoxCoder,
    InclusiveRPN,
    IoUAssigner,
    RandomSampler,
    Refinement,
    SmoothL1Loss,
)


class OneAnchorPerCell(nn.Module):
    """Anchors that are given, one for each cell of a map of one row."""

    num_anchors, strides = (1,), (4,)

    def __init__(self, boxes: list):
        super().__init__()
        self.boxes = torch.tensor(boxes, dtype=torch.float32)

    def forward(self, maps: list) -> list[Boxes]:
        return [Boxes(self.boxes)]


class Scores(nn.Module):
    """A head that says the same of every map, with deltas of 0."""

    def __init__(self, scores: list):
        super().__init__()
        self.scores = torch.tensor(scores, dtype=torch.float32).view(1, 1, 1, -1)

    def forward(self, maps: list) -> tuple[list, list]:
        return [self.scores], [torch.zeros(1, 4, 1, self.scores.shape[-1])]


def propose(boxes: list, scores: list, size=(100, 200), **options) -> list:
    """The proposals of an image whose anchors are ``boxes``."""
    refinement = Refinement(
        box_coder=InclusiveBoxCoder(BoxCoder(bounds_shrinking=False)),
        assigner=IoUAssigner(0.7, 0.3),
        sampler=RandomSampler(4),
        box_loss=SmoothL1Loss(),
    )
    rpn = InclusiveRPN(
        in_features=["p2"],
        head=Scores(scores),
        anchor_generator=OneAnchorPerCell(boxes),
        refinement=refinement,
        pre_nms_topk=(10, 10),
        post_nms_topk=(10, 10),
        min_box_size=-1.0,
        **{"nms_thresh": 0.7, **options},
    ).eval()
    maps = {"p2": torch.zeros(1, 1, 1, len(boxes))}
    (found,), losses = rpn(ImageList(torch.zeros(1, 3, *size), [size]), maps)
    assert found.image_size == size and losses == {}
    return found.proposal_boxes.tensor.tolist()


@pytest.mark.parametrize("nms_of_edges", [False, True])
def test_proposals_end_at_the_last_row_and_column(nms_of_edges):
    boxes = [[-5, -5, 20, 20], [190, 90, 230, 130]]
    found = propose(boxes, [2, 1], nms_of_edges=nms_of_edges)
    assert found == [[0, 0, 20, 20], [190, 90, 199, 99]]


@pytest.mark.parametrize("nms_of_edges", [False, True])
def test_a_proposal_of_one_pixel_is_kept(nms_of_edges):
    boxes = [[7, 8, 7, 8], [250, 3, 260, 9]]  # the second one is clipped to the last column
    found = propose(boxes, [2, 1], nms_of_edges=nms_of_edges)
    assert found == [[7, 8, 7, 8], [199, 3, 199, 9]]


def test_suppression_is_by_pixels_taken_for_edges_or_by_edges():
    # 3 of 4 columns each, 2 in common: IoU 2/4 by pixels as edges, and 3/5 by edges.
    boxes = [[0, 0, 3, 0.5], [1, 0, 4, 0.5]]
    assert len(propose(boxes, [2, 1], nms_thresh=0.55)) == 2
    assert len(propose(boxes, [2, 1], nms_thresh=0.55, nms_of_edges=True)) == 1
    assert len(propose(boxes, [2, 1], nms_thresh=0.45)) == 1


def test_every_image_has_its_own_end():
    rpn_boxes = [[0, 0, 500, 500]]
    assert propose(rpn_boxes, [1], size=(50, 60)) == [[0, 0, 59, 49]]
    assert propose(rpn_boxes, [1], size=(500, 600)) == [[0, 0, 500, 499]]
