"""Grid R-CNN's heads on toy maps: what each stage is given, learns and makes."""

from __future__ import annotations

import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.poolers import ROIPooler
from detectron2.modeling.postprocessing import detector_postprocess
from detectron2.modeling.roi_heads import (
    FastRCNNOutputLayers,
    KRCNNConvDeconvUpsampleHead,
    MaskRCNNConvUpsampleHead,
)
from detectron2.structures import BitMasks, Boxes, Keypoints

from cascade_rpn_d2.layers import clip_boxes, decode_grid_boxes
from cascade_rpn_d2.modeling import GridHead, GridROIHeads
from cascade_rpn_d2.modeling.roi_heads.box_stream import BoxStream
from tests.modeling.roi_heads.toy_heads import (
    CHANNELS,
    CLASSES,
    NOTHING,
    OBJECTS,
    SIZE,
    PointingHead,
    around,
    background,
    batch_of,
    build,
    build_cpm,
    detect,
    features,
    grid_head,
    proposals,
    resampling_scoring,
    stages,
    train,
    truth,
)


def record(heads: GridROIHeads) -> list[BoxStream]:
    """The streams in front of the stages, as they come."""
    streams = []
    for stage in heads.grid_stages:

        def loss(prediction, boxes, objects, active, stage=stage, inner=stage.loss):
            streams.append((boxes, objects, active))
            return inner(prediction, boxes, objects, active)

        stage.loss = loss
    return streams


def test_losses():
    losses = train(build(), OBJECTS)
    assert losses.keys() == {"loss_cls", "loss_grid_stage1"}
    losses = train(build(count=3), OBJECTS)
    assert losses.keys() == {"loss_cls", *(f"loss_grid_stage{k}" for k in (1, 2, 3))}
    assert all(x > 0 for x in losses.values())


def test_the_first_stage_learns_the_positives_of_the_classification():
    heads = build(jitter=0.0, batch_size_per_image=16, positive_fraction=0.5)
    streams = record(heads)
    train(heads, OBJECTS)
    ((boxes, objects, active),) = streams
    assert len(boxes) == 8 and active.all()
    assert (boxes - objects).abs().max() <= 2  # those near objects, and the objects


def test_a_later_stage_has_the_boxes_of_the_one_before_and_every_object_once():
    # Boxes come out a cell smaller on each side than they are: IoU stays above 0.7.
    heads = build(count=3, head=PointingHead, jitter=0.0, batch_size_per_image=100)
    heads.grid_stages[1].mapping_ratio = heads.grid_stages[2].mapping_ratio = 2.0
    streams = record(heads)
    train(heads, OBJECTS, NOTHING)
    (first, _, _), (second, objects, _), (third, _, _) = streams
    given = OBJECTS.gt_boxes.tensor
    is_object = (first[:, None] == given).all(dim=2).any(dim=1)
    assert len(first) == 14 and is_object.sum() == 2
    for before, after in ((first[~is_object], second), (second[:12], third)):
        logits = heads.grid_stages[0].head.maps.expand(len(before), -1, -1, -1)
        assert torch.equal(after[:12], decode_grid_boxes(logits, before))
        assert torch.equal(after[12:], given)  # of no stage, at the end
    assert torch.equal(objects[12:], given)


def test_later_stages_ask_for_more_overlap():
    # A box 4 cells smaller on each side: IoU about 0.6 with the object around it.
    heads = build(count=2, head=lambda: PointingHead(17), jitter=0.0)
    for min_iou, kept in ((0.5, True), (0.7, False)):
        heads.grid_stages[1].min_iou = min_iou
        streams = record(heads)
        train(heads, OBJECTS)
        second = streams[1][0]
        assert (len(second) > 2) == kept
        assert torch.equal(second[-2:], OBJECTS.gt_boxes.tensor)


def test_objects_are_only_appended_where_they_are_appended_to_proposals():
    heads = build(count=2, head=PointingHead, jitter=0.0, proposal_append_gt=False)
    heads.grid_stages[1].mapping_ratio = 2.0
    streams = record(heads)
    train(heads, OBJECTS)
    assert len(streams[0][0]) == len(streams[1][0])
    assert not (streams[1][0][:, None] == OBJECTS.gt_boxes.tensor).all(dim=2).any()


@pytest.mark.parametrize("source", ["input", "output"])
def test_left_out_boxes_weigh_nothing_where_they_stay(source, monkeypatch: pytest.MonkeyPatch):
    """On a GPU they stay, so that nothing is counted: the losses are the same."""
    heads = build_cpm(
        count=3,
        iou_target=source,
        resampling_positives=source,
        resampling_scoring=resampling_scoring(batch_size_per_image=999, positive_fraction=0.5),
    )  # resampling takes all that it may
    maps, batch = features(2), batch_of(OBJECTS, OBJECTS)

    def losses():
        torch.manual_seed(1)
        return train(heads, OBJECTS, OBJECTS, boxes=batch, maps=maps)

    compact = losses()
    assert compact.keys() >= {"loss_grid_stage3", "loss_ism", "loss_rsm"}
    monkeypatch.setattr(BoxStream, "_compact", lambda self: self)
    for name, value in losses().items():
        assert value.item() == pytest.approx(compact[name].item(), rel=1e-5), name


@pytest.mark.parametrize("kind", [build, build_cpm])
def test_how_many_boxes_of_an_image_learn_does_not_depend_on_the_others(kind):
    arguments = {"jitter": 0.0, "batch_size_per_image": 600, "positive_fraction": 0.5}
    for count in (1, 2, 5):
        heads = kind(**arguments)
        streams = record(heads)
        # 302 positives of every image, 300 of which classification learns.
        boxes = [proposals(around(OBJECTS.gt_boxes.tensor, 150)) for _ in range(count)]
        train(heads, *[OBJECTS] * count, boxes=boxes)
        assert len(streams[0][0]) == 96 * count


def test_jitter_moves_boxes_and_not_objects():
    heads = build(jitter=0.15)
    streams = record(heads)
    train(heads, OBJECTS)
    ((boxes, objects, _),) = streams
    assert (boxes[:, None] != OBJECTS.gt_boxes.tensor).any(dim=2).all()
    assert (objects[:, None] == OBJECTS.gt_boxes.tensor).all(dim=2).any(dim=1).all()


def test_the_caller_keeps_its_images():
    batch, targets = batch_of(OBJECTS), OBJECTS
    train(build(count=2), targets, boxes=batch)
    assert batch[0].get_fields().keys() == {"proposal_boxes", "objectness_logits"}
    assert targets.get_fields().keys() == {"gt_boxes", "gt_classes"}


@pytest.mark.parametrize("targets", [(NOTHING,), (NOTHING, OBJECTS), (NOTHING, NOTHING)])
@pytest.mark.parametrize("fusion", [False, True])
def test_every_parameter_gets_a_gradient_whatever_the_images_show(targets, fusion):
    heads = build(count=2, head=lambda: grid_head(fusion))
    losses = train(heads, *targets)
    assert all(x.isfinite() for x in losses.values())
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in heads.parameters())


def test_no_proposals():
    heads = build(count=2)
    empty = proposals(torch.zeros(0, 4))
    losses = train(heads, OBJECTS, NOTHING, boxes=[empty, empty])
    assert all(x.isfinite() for x in losses.values())
    assert [len(x) for x in detect(heads, empty, empty)] == [0, 0]
    assert [len(x) > 0 for x in detect(heads, empty, proposals(background(5)))] == [False, True]


def test_boxes_are_those_of_the_maps():
    heads = build(head=lambda: PointingHead(10), predictor={"test_nms_thresh": 1.0})
    boxes = background(6)
    (found,) = detect(heads, proposals(boxes))
    assert (found.scores.diff() <= 0).all() and len(found) == 18
    logits = heads.grid_stages[0].head.maps.expand(6, -1, -1, -1)
    expected = clip_boxes(decode_grid_boxes(logits, boxes)[None], torch.tensor([SIZE]))[0]
    distance = (found.pred_boxes.tensor[:, None] - expected).abs().amax(dim=2)
    assert (distance.amin(dim=1) < 1e-4).all() and (distance.amin(dim=0) < 1e-4).all()


def test_masks_are_read_from_the_boxes_that_are_returned():
    """Detectron2 clips boxes and fits their masks into what is left."""
    heads = build(head=lambda: PointingHead(2))  # twice as large, nearly
    (found,) = detect(heads, proposals(torch.tensor([[40.0, 10, 100, 50]])))
    seen = found.pred_boxes.tensor
    returned = detector_postprocess(found, *SIZE).pred_boxes.tensor
    assert len(seen) == CLASSES and (seen[:, 2] == SIZE[1]).all()
    assert torch.equal(seen, returned)


def test_stages_are_run_up_to_the_one_that_is_tested():
    boxes = background(4)
    for count in (1, 2, 3):
        heads = build(count=3, head=lambda: PointingHead(16), test_stage=count)
        heads.eval()
        steps = list(heads.steps(features(), [Boxes(boxes)], [SIZE]))
        assert len(steps) == count
        assert torch.equal(steps[0].boxes, boxes)
        for before, after in zip(steps[:-1], steps[1:], strict=True):
            assert torch.equal(before.refined, after.boxes)
        maps = features()
        (found,) = detect(heads, proposals(boxes), maps=maps)
        assert len(found) > 0
    heads = build(count=3)
    assert heads.test_stage == 3


@pytest.mark.parametrize("clip", [False, True])
def test_clipping_between_stages(clip):
    heads = build(count=2, head=lambda: PointingHead(2), clip_between_stages=clip).eval()
    _, second = heads.steps(features(), [Boxes(torch.tensor([[0.0, 0, 90, 70]]))], [SIZE])
    assert bool((second.boxes < 0).any()) != clip
    assert bool((second.boxes > 90).any())
    if clip:
        assert second.boxes.tolist() == [[0, 0, 100, 80]]
    heads.grid_stages[1].min_iou = 0.1
    streams = record(heads)
    edge = truth((0.0, 0, 60, 70))
    train(heads, edge, boxes=[proposals(torch.tensor([[0.0, 0, 60, 70], [1, 0, 60, 70]]))])
    assert bool((streams[1][0] < 0).any()) != clip


def test_a_batch_is_its_images():
    heads = build(count=2, predictor={"test_nms_thresh": 0.9})
    maps = features(3)
    images = [proposals(background(n)) for n in (7, 0, 3)]
    together = detect(heads, *images, maps=maps)
    for index, image in enumerate(images):
        (alone,) = detect(heads, image, maps={"p2": maps["p2"][index, None]})
        assert torch.allclose(alone.pred_boxes.tensor, together[index].pred_boxes.tensor, atol=1e-4)
        assert torch.allclose(alone.scores, together[index].scores, atol=1e-6)


def test_a_mask_head_beside_it():
    side = 4
    heads = build(
        count=2,
        mask_in_features=["p2"],
        mask_pooler=ROIPooler(side, scales=(0.25,), sampling_ratio=1, pooler_type="ROIAlignV2"),
        mask_head=MaskRCNNConvUpsampleHead(
            ShapeSpec(channels=CHANNELS, height=side, width=side),
            num_classes=CLASSES,
            conv_dims=[4, 4],
        ),
    )
    targets = truth((60.0, 10, 90, 40))
    masks = torch.zeros(1, *SIZE)
    masks[0, 10:40, 60:90] = 1
    targets.gt_masks = BitMasks(masks)
    losses = train(heads, targets)
    assert losses.keys() == {"loss_cls", "loss_grid_stage1", "loss_grid_stage2", "loss_mask"}
    (found,) = detect(heads, proposals(background(6)))
    assert found.pred_masks.shape == (len(found), 1, 2 * side, 2 * side)


def test_a_keypoint_head_beside_it():
    side, points = 4, 2
    heads = build(
        keypoint_in_features=["p2"],
        keypoint_pooler=ROIPooler(side, scales=(0.25,), sampling_ratio=1, pooler_type="ROIAlignV2"),
        keypoint_head=KRCNNConvDeconvUpsampleHead(
            ShapeSpec(channels=CHANNELS, height=side, width=side),
            num_keypoints=points,
            conv_dims=[4],
        ),
    )
    targets = truth((60.0, 10, 90, 40))
    # x, y, visible
    targets.gt_keypoints = Keypoints(torch.tensor([[[65.0, 15, 2], [85, 35, 2]]]))
    losses = train(heads, targets)
    assert losses.keys() == {"loss_cls", "loss_grid_stage1", "loss_keypoint"}
    assert losses["loss_keypoint"] > 0
    (found,) = detect(heads, proposals(background(6)))
    assert found.pred_keypoints.shape == (len(found), points, 3)


def test_mixed_precision():
    heads = build(count=2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = train(heads, OBJECTS, NOTHING)
        sum(losses.values()).backward()
        (found,) = detect(heads, proposals(background(6)))
    assert all(x.dtype == torch.float32 and x.isfinite() for x in losses.values())
    assert all(p.grad is not None and p.grad.isfinite().all() for p in heads.parameters())
    assert found.pred_boxes.tensor.dtype == torch.float32


def test_one_stage_learns_to_find_boxes():
    """Maps that show where an object is: after some steps the boxes are on it."""
    shape = ShapeSpec(channels=CHANNELS, height=8, width=8)
    heads = build(
        head=lambda: GridHead(shape, num_convs=2, point_channels=8, fusion=False),
        grid_pooler=ROIPooler(8, scales=(0.25,), sampling_ratio=1, pooler_type="ROIAlignV2"),
    )
    maps = torch.zeros(1, CHANNELS, SIZE[0] // 4, SIZE[1] // 4)
    for x1, y1, x2, y2 in (OBJECTS.gt_boxes.tensor / 4).round().int().tolist():
        maps[0, :, y1:y2, x1:x2] = 1
    optimizer = torch.optim.AdamW(heads.parameters(), lr=3e-3)
    for _ in range(200):
        optimizer.zero_grad()
        losses = train(heads, OBJECTS, maps={"p2": maps})
        sum(losses.values()).backward()
        optimizer.step()
    objects = OBJECTS.gt_boxes.tensor
    start = objects + torch.tensor([4.0, -3, 3, 4])
    (step,) = heads.eval().steps({"p2": maps}, [Boxes(start)], [SIZE])
    error = (step.refined - objects).abs().mean()
    assert error < 0.5 * (start - objects).abs().mean()


def test_what_cannot_be_says_so():
    with pytest.raises(ValueError, match="fill grid_stages"):
        build(grid_stages=[])
    with pytest.raises(ValueError, match="1 to 2, not 3"):
        build(grid_stages=stages(2), test_stage=3)
    regressing = FastRCNNOutputLayers(
        ShapeSpec(channels=8), box2box_transform=Box2BoxTransform((1.0, 1, 1, 1)), num_classes=3
    )
    with pytest.raises(TypeError, match="ClassPredictor instead of a FastRCNNOutputLayers"):
        build(box_predictor=regressing)
    with pytest.raises(ValueError, match="train_on_pred_boxes has no meaning"):
        build(train_on_pred_boxes=True)
    heads = build().train()
    with pytest.raises(ValueError, match="needs targets"):
        heads(None, features(), batch_of(OBJECTS))


def waits_allowed(pooler: ROIPooler) -> None:
    """Detectron2's pooler waits for the device in every call; what is around it must not."""
    inner = pooler.forward

    def forward(*arguments):
        mode = torch.cuda.get_sync_debug_mode()
        torch.cuda.set_sync_debug_mode("default")
        try:
            return inner(*arguments)
        finally:
            torch.cuda.set_sync_debug_mode(mode)

    pooler.forward = forward


@pytest.mark.gpu
@pytest.mark.parametrize("make", [build, build_cpm])
def test_stages_wait_for_nothing_on_a_gpu(make):
    heads = make(count=3).cuda()
    maps = {"p2": features(2)["p2"].cuda()}
    targets = [OBJECTS.to("cuda"), NOTHING.to("cuda")]
    batch = [x.to("cuda") for x in batch_of(OBJECTS, NOTHING)]
    first = heads._first_stream

    def first_and_guard(samples):
        stream = first(samples)  # has counted the positives
        torch.cuda.set_sync_debug_mode("error")
        return stream

    heads._first_stream = first_and_guard
    for pooler in (heads.grid_pooler, heads.box_pooler):
        waits_allowed(pooler)
    try:
        losses = train(heads, *targets, boxes=batch, maps=maps)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert all(x.isfinite() for x in losses.values())
    boxes = [Boxes(background(5).cuda()), Boxes(background(0).cuda())]
    heads.eval()
    torch.cuda.set_sync_debug_mode("error")
    try:
        *_, last = heads.steps(maps, boxes, [SIZE, SIZE])
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert last.refined.shape == (5, 4)
