"""The boxes between the stages: who is in, who stays out, and that nothing is lost or doubled."""

from __future__ import annotations

import pytest
import torch
from detectron2.structures import Boxes, Instances

from cascade_rpn_d2.layers import box_iou, clip_boxes
from cascade_rpn_d2.modeling import GroundTruth
from cascade_rpn_d2.modeling.roi_heads.box_stream import (
    BoxStream,
    clip_to_images,
    image_of,
    jitter_boxes,
    match,
    positives_of,
)
from tests.modeling.roi_heads.toy_heads import CLASSES, NOTHING, OBJECTS, SIZE, truth

OTHER = truth((10.0, 10, 40, 50))


def samples(classes, targets: Instances, is_object=None) -> Instances:
    """Boxes of an image that have been labelled: box i spans i to i + 20."""
    corner = torch.arange(len(classes), dtype=torch.float32)[:, None].expand(-1, 2)
    image = Instances(SIZE, proposal_boxes=Boxes(torch.cat((corner, corner + 20), dim=1)))
    image.gt_classes = torch.tensor(classes, dtype=torch.int64)
    image.is_object = torch.tensor(is_object or [False] * len(classes), dtype=torch.bool)
    if len(targets):
        image.gt_boxes = Boxes(targets.gt_boxes.tensor[:1].expand(len(classes), 4))
    return image


def stream_of(boxes, counts, is_object=None) -> BoxStream:
    boxes = torch.tensor(boxes).view(-1, 4)
    flags = torch.zeros(len(boxes), dtype=torch.bool) if is_object is None else is_object
    return BoxStream(
        boxes,
        tuple(counts),
        boxes.clone(),
        torch.ones(len(boxes)),
        torch.ones(len(boxes), dtype=torch.bool),
        flags,
    )


def test_the_first_stage_has_the_positives():
    stream = positives_of(
        [samples([0, CLASSES, 2], OBJECTS, [False, False, True]), samples([CLASSES], NOTHING)],
        CLASSES,
    )
    assert stream.counts == (2, 0)
    assert stream.boxes[:, 0].tolist() == [0, 2]
    assert torch.equal(stream.objects, OBJECTS.gt_boxes.tensor[:1].expand(2, 4))
    assert torch.equal(stream.overlap, box_iou(stream.boxes, stream.objects))
    assert stream.is_object.tolist() == [False, True] and stream.active.all()
    assert [len(x) for x in stream.per_image()] == [2, 0]


def test_no_positives_at_all():
    stream = positives_of([samples([CLASSES] * 3, NOTHING), samples([], NOTHING)], CLASSES)
    assert stream.counts == (0, 0) and stream.boxes.shape == stream.objects.shape == (0, 4)
    moved = jitter_boxes(stream, 0.15, [SIZE, SIZE]).refined(torch.zeros(0, 4))
    grown = moved.with_objects([NOTHING, NOTHING])
    matched = grown.matched(GroundTruth.from_instances([NOTHING, NOTHING]), 0.5)
    assert matched.counts == (0, 0)


def test_a_limit_is_that_of_every_image():
    images = [samples([0] * 10, OBJECTS), samples([0] * 4, OBJECTS)]
    assert positives_of(images, CLASSES, max_per_image=3).counts == (3, 3)
    assert positives_of(images, CLASSES, max_per_image=5).counts == (5, 4)
    assert positives_of(images, CLASSES).counts == (10, 4)


def test_every_object_is_appended_once_and_stays():
    first = stream_of(
        [[0.0, 0, 9, 9], [60, 10, 90, 40], [5, 5, 9, 9]], (2, 1), torch.tensor([False, True, False])
    )
    grown = first.with_objects([OBJECTS, OTHER])
    assert grown.counts == (4, 2)
    assert torch.equal(grown.boxes[2:4], OBJECTS.gt_boxes.tensor)
    assert torch.equal(grown.boxes[5:], OTHER.gt_boxes.tensor)
    # The object that was sampled learns as the appended one, not twice.
    assert grown.active.tolist() == [True, False, True, True, True, True]
    assert grown.is_object.tolist() == [False, True, True, True, False, True]
    moved = grown.refined(torch.full((6, 4), 7.0))
    assert (moved.boxes[~grown.is_object] == 7).all()
    assert torch.equal(moved.boxes[grown.is_object], grown.boxes[grown.is_object])


def test_selection_by_iou():
    # IoU 0.5, 0.7 and 1 with the first object, 0 with any.
    x1, y1, x2, y2 = OBJECTS.gt_boxes.tensor[0].tolist()
    boxes = [[x1, y1, x1 + iou * (x2 - x1), y2] for iou in (0.5, 0.7, 1)] + [[0.0, 0, 5, 5]]
    objects = GroundTruth.from_instances([OBJECTS])
    for min_iou, kept in ((0.5, [0, 1, 2]), (0.6, [1, 2]), (0.9, [2])):
        stream = stream_of(boxes, (4,)).matched(objects, min_iou)
        assert torch.equal(stream.boxes, torch.tensor(boxes)[kept])
        assert stream.counts == (len(kept),) and stream.active.all()
        assert torch.equal(stream.objects, OBJECTS.gt_boxes.tensor[:1].expand(len(kept), 4))


def test_boxes_left_out_before_stay_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(BoxStream, "_compact", lambda self: self)  # as on a GPU
    objects = GroundTruth.from_instances([OBJECTS])
    stream = stream_of([[0.0, 0, 5, 5], [60, 10, 90, 38]], (2,)).matched(objects, 0.6)
    assert stream.active.tolist() == [False, True] and stream.counts == (2,)
    again = stream.refined(OBJECTS.gt_boxes.tensor).matched(objects, 0.6)
    assert again.overlap.tolist() == [1, 1] and again.active.tolist() == [False, True]


def test_boxes_are_matched_in_their_image():
    boxes = torch.tensor([[60.0, 10, 90, 40], [60, 10, 90, 40], [10, 10, 40, 50]])
    objects = GroundTruth.from_instances([OBJECTS, OTHER, NOTHING])
    index, overlap = match(boxes, torch.tensor([0, 1, 1]), objects)
    assert index.tolist() == [0, 0, 0] and overlap.tolist() == [1, 0, 1]
    index, overlap = match(boxes, torch.tensor([2, 2, 2]), objects)
    assert overlap.tolist() == [0, 0, 0]
    assert image_of((2, 0, 1), torch.device("cpu")).tolist() == [0, 0, 2]


def test_clipping_to_images():
    boxes = torch.tensor([[-5.0, -6, 300, 20], [10, 10, 20, 20], [-9, 70, -3, 90]])
    clipped = clip_to_images(boxes, (1, 0, 2), [(80, 100), (5, 5), (60, 15)])
    assert clipped.tolist() == [[0, 0, 100, 20], [10, 10, 15, 20], [0, 60, 0, 60]]
    sizes = torch.tensor([[80, 100], [60, 15], [60, 15]])
    assert torch.equal(clipped, clip_boxes(boxes[:, None], sizes)[:, 0])


def test_jittered_objects_are_boxes_like_others():
    """A later stage refines them, and has the objects as well."""
    stream = stream_of([[60.0, 10, 90, 40], [5, 5, 9, 9]], (2,), torch.tensor([True, False]))
    moved = jitter_boxes(stream, 0.15, [SIZE])
    assert not moved.is_object.any()
    grown = moved.refined(torch.full((2, 4), 7.0)).with_objects([OBJECTS])
    assert (grown.boxes[:2] == 7).all() and grown.active.all()


def test_jitter_stays_within_its_bounds_and_the_image():
    boxes = torch.tensor([[20.0, 30, 60, 50]]).repeat(4000, 1)
    stream = stream_of(boxes.tolist(), (4000,))
    moved = jitter_boxes(stream, 0.15, [SIZE])
    center = (moved.boxes[:, :2] + moved.boxes[:, 2:]) / 2
    size = moved.boxes[:, 2:] - moved.boxes[:, :2]
    shift = (center - torch.tensor([40.0, 40])) / torch.tensor([40.0, 20])
    growth = size / torch.tensor([40.0, 20]) - 1
    for value in (shift, growth):
        assert value.abs().max() <= 0.15 + 1e-5
        assert value.mean(dim=0).abs().max() < 0.01
        assert value.std(dim=0).sub(0.15 / 3**0.5).abs().max() < 0.005  # uniform
    assert torch.equal(moved.objects, stream.objects)
    assert torch.equal(moved.overlap, box_iou(moved.boxes, moved.objects))
    edge = jitter_boxes(stream_of([[0.0, 0, 100, 80]] * 50, (50,)), 0.15, [SIZE]).boxes
    assert edge.min() == 0 and edge[:, 2].max() == 100 and edge[:, 3].max() == 80
