"""CPM R-CNN's heads: what the scores learn from, how they are fused, and from yacs."""

from __future__ import annotations

import itertools

import pytest
import torch
from detectron2.config import get_cfg
from detectron2.modeling import build_model
from detectron2.structures import Boxes
from detectron2.utils.events import EventStorage

from cascade_rpn_d2 import model_zoo
from cascade_rpn_d2.config import add_cascade_rpn_config
from cascade_rpn_d2.layers import box_iou
from cascade_rpn_d2.modeling import CPMROIHeads, GridROIHeads
from tests.modeling.roi_heads.toy_heads import (
    NOTHING,
    OBJECTS,
    SIZE,
    PointingHead,
    background,
    build_cpm,
    detect,
    features,
    iou_scoring,
    proposals,
    train,
)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("ism, rsm", list(itertools.product((False, True), repeat=2)))
def test_each_module_can_be_had_alone(count, ism, rsm):
    heads = build_cpm(count=count, ism=ism, rsm=rsm)
    losses = train(heads, OBJECTS, NOTHING)
    expected = {"loss_cls", *(f"loss_grid_stage{k + 1}" for k in range(count))}
    names = set(losses) - expected
    assert names == ({"loss_ism"} if ism else set()) | ({"loss_rsm"} if rsm else set())
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in heads.parameters())
    (found, nothing) = detect(heads, proposals(background(8)), proposals(torch.zeros(0, 4)))
    assert len(found) > 0 and len(nothing) == 0
    assert ((found.scores >= 0) & (found.scores <= 1)).all() and (found.scores.diff() <= 0).all()


@pytest.mark.parametrize("targets", [(NOTHING,), (NOTHING, OBJECTS), (NOTHING, NOTHING)])
def test_every_parameter_gets_a_gradient_whatever_the_images_show(targets):
    heads = build_cpm(count=3)
    losses = train(heads, *targets)
    assert all(x.isfinite() for x in losses.values())
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in heads.parameters())


def test_no_proposals():
    empty = proposals(torch.zeros(0, 4))
    losses = train(build_cpm(), OBJECTS, NOTHING, boxes=[empty, empty])
    assert all(x.isfinite() for x in losses.values())


def spy(module, method: str) -> list:
    """Arguments of every call of a method."""
    calls = []
    inner = getattr(module, method)

    def call(*arguments):
        calls.append(arguments)
        return inner(*arguments)

    setattr(module, method, call)
    return calls


@pytest.mark.parametrize("source", ["input", "output"])
def test_iou_scoring_learns_the_iou_of_the_named_boxes(source):
    # The last stage's boxes lose a cell on each side.
    heads = build_cpm(
        count=1, head=PointingHead, iou_scoring=iou_scoring(9), rsm=False, iou_target=source,
        jitter=0.0,
    )  # fmt: skip
    grid = spy(heads.grid_stages[0], "loss")
    calls = spy(heads.iou_scoring, "loss")
    train(heads, OBJECTS)
    ((prediction, boxes, objects, active),) = grid
    ((_, overlap, learnt),) = calls
    if source == "output":
        boxes = heads.grid_stages[0].refine(prediction, boxes)
    assert torch.allclose(overlap, box_iou(boxes, objects))
    assert torch.equal(active, learnt)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("source", ["input", "output"])
def test_iou_scoring_can_leave_objects_out(source, count):
    heads = build_cpm(
        count=count, head=PointingHead, iou_scoring=iou_scoring(9), rsm=False, iou_target=source,
        iou_from_objects=False, jitter=0.0,
    )  # fmt: skip
    for stage in heads.grid_stages:
        stage.min_iou = 0.1  # so that there are boxes besides
    grid = spy(heads.grid_stages[-1], "loss")
    calls = spy(heads.iou_scoring, "loss")
    train(heads, OBJECTS)
    ((_, boxes, objects, active),) = grid
    ((_, _, learnt),) = calls
    is_object = (boxes == objects).all(dim=1)
    assert is_object.any() and active[is_object].all()  # the stage itself learns from them
    assert torch.equal(learnt, active & ~is_object) and learnt.any()


def test_only_objects_are_nothing_for_iou_scoring_to_learn_from():
    heads = build_cpm(count=3, iou_from_objects=False)
    empty = proposals(torch.zeros(0, 4))
    losses = train(heads, OBJECTS, NOTHING, boxes=[empty, empty])
    assert losses["loss_ism"] == 0
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in heads.parameters())


@pytest.mark.parametrize("source", ["input", "output"])
def test_resampling_learns_from_the_named_boxes(source):
    heads = build_cpm(
        count=1, head=PointingHead, ism=False, resampling_positives=source, batch_size_per_image=99
    )
    grid = spy(heads.grid_stages[0], "loss")
    calls = spy(heads.resampling_scoring, "sample")
    train(heads, OBJECTS)
    ((prediction, boxes, _, _),) = grid
    ((samples, (offered,), _, _),) = calls
    if source == "input":
        assert torch.equal(offered, boxes)
    else:
        refined = heads.grid_stages[0].refine(prediction, boxes)
        is_object = (offered == boxes).all(dim=1)
        # Objects stay objects, as between stages.
        assert torch.equal(offered[~is_object], refined[~is_object])
        assert is_object.sum() == 2


def test_fused_scores_at_test():
    heads = build_cpm(count=1, predictor={"test_nms_thresh": 1.0})
    maps, images = features(), proposals(background(6))
    (fused,) = detect(heads, images, maps=maps)
    ism, rsm = heads.iou_scoring, heads.resampling_scoring
    heads.iou_scoring = heads.resampling_scoring = None
    (plain,) = detect(heads, images, maps=maps)
    heads.iou_scoring = ism
    (with_iou,) = detect(heads, images, maps=maps)
    heads.iou_scoring, heads.resampling_scoring = None, rsm
    heads.score_gamma = 0.0
    (only_rsm,) = detect(heads, images, maps=maps)

    def by_box(found):
        return {
            (*(round(x, 3) for x in box), int(k)): float(s)
            for box, k, s in zip(
                found.pred_boxes.tensor.tolist(), found.pred_classes, found.scores, strict=True
            )
        }

    fused, plain, with_iou, only_rsm = map(by_box, (fused, plain, with_iou, only_rsm))
    assert fused.keys() == plain.keys() and len(plain) == 18
    for box, score in plain.items():
        assert with_iou[box] <= score
        assert fused[box] == pytest.approx(with_iou[box] ** 0.8 * only_rsm[box] ** 0.2, rel=1e-3)


def test_resampling_looks_at_boxes_where_they_end():
    """At test, and where it is trained on what the last stage makes."""
    heads = build_cpm(
        count=2, head=PointingHead, ism=False, predictor={"test_nms_thresh": 1.0},
        resampling_positives="output",
    )  # fmt: skip
    given: list[list[Boxes]] = []
    boxes, maps = background(6), features()
    pool = heads.box_pooler.forward
    heads.box_pooler.forward = lambda maps, boxes: given.append(boxes) or pool(maps, boxes)
    (found,) = detect(heads, proposals(boxes), maps=maps)
    (_, (resampled,)) = given  # the proposals, the boxes in the end
    *_, last = heads.steps(maps, [Boxes(boxes)], [SIZE])
    distance = (resampled.tensor[:, None] - last.refined).abs().amax(dim=2)
    assert len(found) == 18 and (distance.amin(dim=1) < 1e-4).all()
    assert (resampled.tensor[:, None] != boxes).any(dim=2).all()

    grid, calls = spy(heads.grid_stages[1], "loss"), spy(heads.resampling_scoring, "sample")
    train(heads, OBJECTS)
    ((prediction, before, _, _),), ((_, (offered,), _, _),) = grid, calls
    refined = heads.grid_stages[1].refine(prediction, before)
    is_object = (offered == before).all(dim=1)
    assert torch.equal(offered[~is_object], refined[~is_object]) and is_object.sum() == 2


def test_negative_ious_lose_no_box():
    heads = build_cpm(count=1, predictor={"test_nms_thresh": 1.0})
    heads.iou_scoring.iou_pred.bias.data.fill_(-3)
    (found,) = detect(heads, proposals(background(6)))
    assert len(found) == 18 and found.scores.isfinite().all()


def test_iou_scoring_has_no_say_at_an_earlier_stage():
    heads = build_cpm(count=2, rsm=False)
    maps, images = features(), proposals(background(6))
    calls = spy(heads.iou_scoring, "scores")
    detect(heads, images, maps=maps)
    assert len(calls) == 1
    heads.test_stage = 1
    detect(heads, images, maps=maps)
    assert len(calls) == 1


@pytest.mark.parametrize("ism, rsm", [(True, True), (True, False), (False, True)])
def test_detections_are_ranked_by_the_parts_of_their_scores(ism, rsm):
    heads = build_cpm(ism=ism, rsm=rsm).eval()
    maps, images = features(2), [proposals(background(n)) for n in (5, 3)]
    with torch.no_grad():
        candidates = heads.candidates(maps, images)
        *_, last = heads.steps(maps, [x.pred_boxes for x in candidates], [SIZE, SIZE])
        parts = heads.score_parts(maps, candidates, last)
    assert (parts.iou is not None, parts.resampled is not None) == (ism, rsm)
    counts = [len(x) for x in candidates]
    found = detect(heads, *images, maps=maps)
    for image, scores in zip(found, parts.fused.split(counts), strict=True):
        torch.testing.assert_close(image.scores, scores.sort(descending=True).values)


def test_mixed_precision():
    heads = build_cpm(count=3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = train(heads, OBJECTS, NOTHING)
        sum(losses.values()).backward()
        (found,) = detect(heads, proposals(background(6)))
    assert all(x.dtype == torch.float32 and x.isfinite() for x in losses.values())
    assert all(p.grad.isfinite().all() for p in heads.parameters())
    assert found.scores.dtype == torch.float32


def test_defaults_are_those_of_the_released_models():
    heads = build_cpm()
    assert (heads.max_grid_rois_per_image, heads.jitter, heads.score_gamma) == (96, 0, 0.8)
    assert (heads.iou_target, heads.resampling_positives) == ("input", "input")


def test_what_cannot_be_says_so():
    with pytest.raises(ValueError, match="iou_target is 'input' or 'output', not 'both'"):
        build_cpm(iou_target="both")
    with pytest.raises(ValueError, match="resampling_positives is 'input' or 'output'"):
        build_cpm(resampling_positives="final")
    with pytest.raises(ValueError, match="between 0 and 1, not 1.5"):
        build_cpm(score_gamma=1.5)


def yacs_config(repository, name: str, **keys):
    cfg = get_cfg()
    add_cascade_rpn_config(cfg)
    stock = "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x.yaml"
    cfg.merge_from_file(model_zoo.get_config_file(stock))
    cfg.merge_from_file(str(repository / "configs/yacs" / name))
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.RESNETS.DEPTH = 18
    cfg.MODEL.RESNETS.RES2_OUT_CHANNELS = 64
    cfg.MODEL.ROI_GRID_HEAD.NUM_CONVS = 2
    cfg.MODEL.ROI_GRID_HEAD.POINT_CHANNELS = 4
    cfg.MODEL.ROI_BOX_HEAD.FC_DIM = 16
    cfg.MODEL.CPM.ISM.FC_DIM = 16
    cfg.MODEL.ROI_MASK_HEAD.NUM_CONV = 1
    return cfg


@pytest.mark.parametrize("name, kind, stage_count", [
    ("grid_rcnn.yaml", GridROIHeads, 1), ("cpm_rcnn.yaml", CPMROIHeads, 3),
])  # fmt: skip
def test_stock_detectors_become_point_guided(repository, name, kind, stage_count):
    model = build_model(yacs_config(repository, name))
    heads = model.roi_heads
    assert type(heads) is kind and len(heads.grid_stages) == stage_count and heads.mask_on
    assert heads.box_predictor.test_nms_thresh == 0.3
    if kind is CPMROIHeads:
        assert [s.mapping_ratio for s in heads.grid_stages] == [2, 1.5, 1.25]
        assert heads.grid_stages[2].loss_weight == 3.75
        assert heads.grid_stages[0].head.fuse1 is None and heads.jitter == 0
        assert heads.max_grid_rois_per_image == 96
        assert heads.box_predictor.test_topk_per_image == 96
    else:
        assert heads.grid_stages[0].head.fuse1 is not None and heads.jitter == 0.15
        assert heads.max_grid_rois_per_image == 96
    image = {"image": torch.zeros(3, 64, 96), "height": 64, "width": 96}
    with torch.no_grad(), EventStorage():
        (output,) = model.eval()([image])
    assert output["instances"].has("pred_masks")


def test_a_yacs_config_needs_a_value_a_stage(repository):
    cfg = yacs_config(repository, "cpm_rcnn.yaml")
    cfg.MODEL.ROI_GRID_HEAD.IOUS = [0.5]
    with pytest.raises(ValueError, match="one value a stage.*which have 3, 1, 3"):
        build_model(cfg)


def test_scores_can_be_left_out_in_yacs(repository):
    cfg = yacs_config(repository, "cpm_rcnn.yaml")
    cfg.MODEL.CPM.ISM.ENABLED = cfg.MODEL.CPM.RSM.ENABLED = False
    cfg.MODEL.ROI_GRID_HEAD.TEST_STAGE = 2
    heads = build_model(cfg).roi_heads
    assert heads.iou_scoring is None and heads.resampling_scoring is None
    assert heads.test_stage == 2
