from __future__ import annotations

import math

import pytest
import torch
from detectron2.modeling.proposal_generator.proposal_utils import find_top_rpn_proposals

from cascade_rpn_d2.modeling.proposal_generator.selection import select_proposals

SIZES = [(96, 128), (80, 100), (96, 90)]
OPTIONS = {"pre_nms_topk": 40, "post_nms_topk": 60, "nms_thresh": 0.6}


def scored_boxes(device="cpu"):
    """Boxes and logits of three levels and three images; some boxes have no area."""
    torch.manual_seed(0)
    boxes, logits = [], []
    for count in (90, 40, 7):
        corner = torch.rand(3, count, 2) * 80
        side = torch.rand(3, count, 2) * 60 * (torch.rand(3, count, 1) < 0.9)
        limit = torch.tensor([(w, h, w, h) for h, w in SIZES])[:, None]
        level = torch.minimum(torch.cat([corner, corner + side], -1), limit)
        boxes.append(level.to(device))
        logits.append(torch.randn(3, count).to(device))
    return boxes, logits


def assert_equal_proposals(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        assert a.image_size == b.image_size
        assert torch.equal(a.objectness_logits, b.objectness_logits)
        assert torch.equal(a.proposal_boxes.tensor, b.proposal_boxes.tensor)


@pytest.mark.parametrize("pre_nms_topk", [5, 40, 1000])
@pytest.mark.parametrize("post_nms_topk", [1, 30, 1000])
@pytest.mark.parametrize("min_box_size", [0.0, 20.0])
def test_equals_detectron2(pre_nms_topk, post_nms_topk, min_box_size):
    boxes, logits = scored_boxes()
    theirs = find_top_rpn_proposals(
        boxes, logits, SIZES, 0.6, pre_nms_topk, post_nms_topk, min_box_size, training=False
    )
    ours = select_proposals(
        boxes,
        logits,
        SIZES,
        pre_nms_topk=pre_nms_topk,
        post_nms_topk=post_nms_topk,
        nms_thresh=0.6,
        min_box_size=min_box_size,
    )
    assert_equal_proposals(ours, theirs)
    assert min(map(len, ours)) > 0


def test_across_levels_is_one_level_of_all_candidates():
    boxes, logits = scored_boxes()
    best = [x.topk(min(40, x.shape[1])) for x in logits]
    chosen = [
        b.gather(1, x.indices[..., None].expand(-1, -1, 4))
        for b, x in zip(boxes, best, strict=True)
    ]
    theirs = find_top_rpn_proposals(
        [torch.cat(chosen, dim=1)],
        [torch.cat([x.values for x in best], dim=1)],
        SIZES,
        0.6,
        1000,
        60,
        0.0,
        False,
    )
    ours = select_proposals(boxes, logits, SIZES, nms_across_levels=True, **OPTIONS)
    assert_equal_proposals(ours, theirs)


def test_equal_logits_come_in_the_order_of_the_levels():
    boxes, logits = scored_boxes()
    found = select_proposals(boxes, [torch.zeros_like(x) for x in logits], SIZES, **OPTIONS)
    sizes = [{tuple(b) for b in level[0].tolist()} for level in boxes]
    levels = [
        next(i for i, of_level in enumerate(sizes) if tuple(b) in of_level)
        for b in found[0].proposal_boxes.tensor.tolist()
    ]
    assert levels == sorted(levels) and len(set(levels)) > 1


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite(value):
    boxes, logits = scored_boxes()
    clean = select_proposals(boxes, logits, SIZES, **OPTIONS)
    for tensor, image in ((logits[1], 0), (boxes[0], 2)):
        tensor[image, 3] = value
    logits[0][2, 3] = 100.0  # among the best
    found = select_proposals(boxes, logits, SIZES, **OPTIONS)
    theirs = find_top_rpn_proposals(
        [b.clone() for b in boxes], [x.clone() for x in logits], SIZES, 0.6, 40, 60, 0.0, False
    )
    assert_equal_proposals(found, theirs)
    for proposals in found:
        assert proposals.proposal_boxes.tensor.isfinite().all()
        assert proposals.objectness_logits.isfinite().all()
    assert_equal_proposals(found[1:2], clean[1:2])  # other images do not change
    with pytest.raises(FloatingPointError, match="diverged"):
        select_proposals(boxes, logits, SIZES, training=True, **OPTIONS)


def test_image_without_a_single_proposal():
    boxes, logits = scored_boxes()
    for level in boxes:
        level[1] = 5.0
    found = select_proposals(boxes, logits, SIZES, **OPTIONS)
    assert len(found[1]) == 0 and len(found[0]) > 0
    assert found[1].proposal_boxes.tensor.shape == (0, 4)


@pytest.mark.gpu
def test_waits_for_the_device_once(monkeypatch):
    boxes, logits = scored_boxes("cuda")
    expected = select_proposals(*scored_boxes(), SIZES, **OPTIONS)
    waits = []
    read = torch.Tensor.tolist

    def counted(tensor):
        waits.append(tensor.shape)
        torch.cuda.set_sync_debug_mode("default")
        values = read(tensor)
        torch.cuda.set_sync_debug_mode("error")
        return values

    monkeypatch.setattr(torch.Tensor, "tolist", counted)
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = select_proposals(boxes, logits, SIZES, **OPTIONS)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len(waits) == 1
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a.proposal_boxes.tensor.cpu(), b.proposal_boxes.tensor)


@pytest.mark.parametrize("min_box_size", [0.0, -1.0])
def test_boxes_that_may_not_propose_are_as_good_as_absent(min_box_size):
    """Also beside others without area that may, and if they are not finite."""
    boxes, logits = scored_boxes()
    keep = [torch.arange(x.shape[1]) % 3 > 0 for x in logits]
    options = {**OPTIONS, "min_box_size": min_box_size, "training": True}
    expected = select_proposals(
        [b[:, k] for b, k in zip(boxes, keep, strict=True)],
        [x[:, k] for x, k in zip(logits, keep, strict=True)],
        SIZES,
        **options,
    )
    for level, kept in zip(logits, keep, strict=True):
        level[:, ~kept] = 50.0
    boxes[0][:, 0] = math.nan
    may_propose = [k.expand(3, -1) for k in keep]
    found = select_proposals(boxes, logits, SIZES, may_propose=may_propose, **options)
    assert_equal_proposals(found, expected)
    assert min(map(len, found)) > 0


class Selection(torch.nn.Module):
    """Of one image, whose boxes with an odd number may propose."""

    def forward(self, boxes, logits):
        counts = [x.shape[1] for x in logits]
        may_propose = [torch.arange(count)[None] % 2 > 0 for count in counts]
        (found,) = select_proposals(boxes, logits, SIZES[:1], may_propose=may_propose, **OPTIONS)
        return found.proposal_boxes.tensor, found.objectness_logits


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("kept", [90, 30, 12])
def test_a_trace_takes_any_number_of_boxes(kept):
    """Fewer or more than it was traced with, and than the best before NMS are."""
    boxes, logits = ([x[:1] for x in level] for level in scored_boxes())
    inputs = [x[:, :kept] for x in boxes], [x[:, :kept] for x in logits]
    traced = torch.jit.trace(Selection(), inputs, check_trace=False)
    lengths = set()
    for count in (90, 41, 7, 1):
        others = [x[:, :count] for x in boxes], [x[:, :count] for x in logits]
        found, expected = traced(*others), Selection()(*others)
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
        lengths.add(len(expected[0]))
    assert len(lengths) == 4
