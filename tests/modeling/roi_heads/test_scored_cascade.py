"""CPM R-CNN's scores on Cascade R-CNN: which boxes they learn from, and what they do to detections.

Most boxes here have an IoU that is read off their sides, and lie where the map has that IoU as its
value: a module that hands the map on predicts the IoU of every box, if it is asked about that box.
"""

from __future__ import annotations

import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling.poolers import ROIPooler
from detectron2.modeling.roi_heads import (
    CascadeROIHeads,
    MaskRCNNConvUpsampleHead,
)
from detectron2.structures import BitMasks
from torch import nn

from cascade_rpn_d2.modeling import (
    IoUScoring,
    ResamplingCascadeROIHeads,
    ScoredCascadeROIHeads,
)
from tests.modeling.roi_heads.toy_cascade import build, build_scored
from tests.modeling.roi_heads.toy_heads import (
    CHANNELS,
    CLASSES,
    NOTHING,
    OBJECTS,
    SIZE,
    background,
    batch_of,
    detect,
    features,
    proposals,
    resampling_scoring,
    train,
    truth,
)

NONE = torch.zeros(0, 4)


class Mean(nn.Module):
    """A box head that sees the mean of its box."""

    output_shape = ShapeSpec(channels=1)

    def forward(self, pooled):
        return pooled.mean(dim=(1, 2, 3))[:, None]


def reading(**changes) -> ScoredCascadeROIHeads:
    """Heads that see the mean of a box, take it for its IoU, and move no box."""
    scoring = IoUScoring(ShapeSpec(channels=1), fc_dims=[])
    scoring.iou_pred.weight.data.copy_(torch.tensor([[-1.0], [1.0]]))
    scoring.iou_pred.bias.data.copy_(torch.tensor([1.0, 0.0]))
    heads = build(head=Mean, **{"iou_scoring": scoring, "proposal_append_gt": False} | changes)
    for stage in heads.box_predictor:
        for layer in (stage.bbox_pred, stage.cls_score):
            layer.weight.data.zero_()
            layer.bias.data.zero_()
    return heads


def ignorant(heads: ScoredCascadeROIHeads) -> ScoredCascadeROIHeads:
    """With an ISM that predicts 0 for both of its outputs."""
    for parameter in heads.iou_scoring.parameters():
        parameter.data.zero_()
    return heads


# Three objects of 20 x 20 pixels, in a third of the image each.
THREE = truth((5.0, 5, 25, 25), (40.0, 5, 60, 25), (75.0, 5, 95, 25))


def overlapping(*ious: float) -> torch.Tensor:
    """A box with each of the objects, as high, and so wide that it has this IoU."""
    boxes = THREE.gt_boxes.tensor[: len(ious)].clone()
    boxes[:, 2] = boxes[:, 0] + 20 * torch.tensor(ious)
    return boxes


def painted(*images: tuple[float, ...]) -> dict[str, torch.Tensor]:
    """Maps with three values from left to right in their upper half, and 0.3 below it."""
    maps = features(len(images))["p2"].fill_(0.3)
    for image, values in zip(maps, images, strict=True):
        for value, columns in zip(values, (slice(0, 8), slice(8, 17), slice(17, 25)), strict=True):
            image[:, :10, columns] = value
    return {"p2": maps}


def below(count: int) -> torch.Tensor:
    """Background in the lower half."""
    corner = torch.rand(count, 2) * torch.tensor([SIZE[1] - 8.0, 20]) + torch.tensor([0, 50.0])
    return torch.cat((corner, corner + 8), dim=1)


def ignorance(*ious: float) -> torch.Tensor:
    """Loss of an ISM that predicts nothing but zeros: half the squares of 1 - IoU and IoU."""
    return torch.tensor([((1 - iou) ** 2 + iou**2) / 2 for iou in ious]).mean()


@pytest.mark.parametrize("seed", range(3))
def test_every_sampled_positive_learns_its_own_iou(seed):
    torch.manual_seed(seed)  # samples come in random order
    ious = ((0.65, 0.8, 0.55), (0.9, 0.7, 0.75))
    maps = painted(*ious)
    two = THREE[:2]
    boxes = [
        proposals(torch.cat((below(9), overlapping(*ious[0]), below(3)))),
        proposals(torch.cat((overlapping(*ious[1][:2]), below(2)))),
    ]

    def loss(heads):
        return train(heads, THREE, two, boxes=boxes, maps=maps)["loss_ism"]

    # Rows of other boxes would be off by 0.1 at least, and so would background be.
    torch.testing.assert_close(loss(reading()), torch.zeros(()), atol=1e-6, rtol=0)
    # The box of 0.55 is none of the last stage's positives.
    torch.testing.assert_close(loss(ignorant(reading())), ignorance(0.65, 0.8, 0.9, 0.7))


def test_positives_that_were_not_sampled_are_not_learnt_from():
    near = overlapping(0.7).repeat(20, 1)
    maps = painted((0.7, 0.3, 0.3))
    heads = reading(batch_size_per_image=16, positive_fraction=0.25)
    seen = []
    loss = heads.iou_scoring.loss
    heads.iou_scoring.loss = lambda *arguments: seen.append(arguments) or loss(*arguments)
    boxes = [proposals(torch.cat((near, below(30))))]
    found = train(heads, THREE[:1], boxes=boxes, maps=maps)["loss_ism"]
    ((prediction, overlap, active),) = seen
    assert prediction.shape == (16, 2) and int(active.sum()) == 4
    torch.testing.assert_close(overlap[active], torch.full((4,), 0.7))
    torch.testing.assert_close(found, torch.zeros(()), atol=1e-6, rtol=0)


def widen(heads, factor: float) -> None:
    """Make the last stage stretch its boxes sideways about their centres."""
    heads.box_predictor[-1].bbox_pred.bias.data[2] = 5 * torch.tensor(factor).log()


def test_the_iou_of_the_refined_boxes_can_be_learnt_instead():
    boxes = [proposals(torch.cat((overlapping(0.65, 0.8), below(5))))]
    heads = ignorant(reading(iou_target="output"))
    widen(heads, 1.25)
    found = train(heads, THREE[:2], boxes=boxes)["loss_ism"]
    # 13 pixels become 16.25, of which 1.625 leave the object; 16 become 20, of which 2 do.
    expected = ignorance(14.625 / 21.625, 18 / 22)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(("target", "iou"), [("input", 1.0), ("output", 0.8)])
def test_objects_are_boxes_like_others(target, iou):
    heads = ignorant(reading(iou_target=target, proposal_append_gt=True))
    widen(heads, 1.25)
    found = train(heads, THREE[1:2], boxes=[proposals(NONE)])["loss_ism"]
    torch.testing.assert_close(found, ignorance(iou))


def test_objects_can_be_left_out():
    heads = ignorant(reading(proposal_append_gt=True, iou_from_objects=False))
    boxes = [proposals(torch.cat((overlapping(0.65, 0.8), below(5))))]
    found = train(heads, THREE[:2], boxes=boxes)["loss_ism"]
    torch.testing.assert_close(found, ignorance(0.65, 0.8))


def test_refined_boxes_are_clipped_before_their_iou_is_taken():
    heads = ignorant(reading(iou_target="output"))
    widen(heads, 10.0)  # beyond both sides of the image, which is 100 pixels wide
    found = train(heads, THREE[1:2], boxes=[proposals(THREE.gt_boxes.tensor[1:2])])["loss_ism"]
    torch.testing.assert_close(found, ignorance(20 / 100))


def learnt_by_rsm(heads, *targets, boxes):
    """Boxes and classes that RSM learns from in a step."""
    scoring, seen = heads.resampling_scoring, []
    sample = scoring.sample

    def record(*arguments):
        chosen, classes = sample(*arguments)
        seen.append((torch.cat([x.tensor for x in chosen]), classes))
        return chosen, classes

    scoring.sample = record
    losses = train(heads, *targets, boxes=boxes)
    del scoring.sample
    assert losses["loss_rsm"].isfinite() and losses["loss_rsm"] > 0
    return seen[0]


def test_rsm_labels_all_boxes_of_the_last_stage_anew():
    heads = reading(iou_scoring=None, resampling_scoring=resampling_scoring())
    boxes = overlapping(0.65, 0.8, 0.55)
    # Background of 8 pixels, of which the stages make background of 8 pixels.
    chosen, classes = learnt_by_rsm(heads, THREE, boxes=[proposals(torch.cat((below(10), boxes)))])
    # The first stage's background and the last one's; that of 0.55 is background of the last stage
    # but no background here. What the first stage held for positive is there once.
    assert len(classes) == 10 + 10 + 3
    assert (classes == CLASSES).sum() == 20
    positive = classes < CLASSES
    order = classes[positive].argsort()
    assert classes[positive][order].tolist() == [0, 1, 2]
    torch.testing.assert_close(chosen[positive][order], boxes)


def test_rsm_can_learn_from_the_refined_boxes_instead():
    heads = reading(
        iou_scoring=None,
        resampling_scoring=resampling_scoring(),
        resampling_positives="output",
        proposal_append_gt=True,
    )
    widen(heads, 1.25)
    chosen, classes = learnt_by_rsm(heads, THREE[:1], boxes=[proposals(overlapping(0.8))])
    # The box of 16 pixels, refined, and the object as it is.
    assert classes.tolist() == [0, 0]
    expected = torch.tensor([[3.0, 5, 23, 25], [5.0, 5, 25, 25]])
    torch.testing.assert_close(chosen[chosen[:, 0].argsort()], expected)


def test_iou_scores_decide_before_suppression():
    heads = reading(predictor={"test_score_thresh": 0.05, "test_nms_thresh": 0.5})
    for stage in heads.box_predictor:
        stage.cls_score.bias.data[0] = 50  # a probability of 1: the map alone decides
    boxes = torch.tensor([[4.0, 4, 20, 24], [6.0, 4, 22, 24], [40.0, 4, 56, 24], [78.0, 4, 94, 24]])
    maps = painted((0.5, 0.9, -0.5))
    # The middle of what the right half of the second box is pooled from, an edge for the first.
    maps["p2"][..., 4] = 0.7
    (found,) = detect(heads, proposals(boxes), maps=maps)
    # The better of the first two stays; the last, where the IoU is predicted negative, is dropped.
    torch.testing.assert_close(found.pred_boxes.tensor, boxes[[2, 1]])
    torch.testing.assert_close(found.scores, torch.tensor([0.9, 0.6]))
    assert found.pred_classes.tolist() == [0, 0]


def test_a_negative_iou_leaves_a_small_score_and_no_nan():
    heads = reading(resampling_scoring=resampling_scoring())
    (found,) = detect(heads, proposals(overlapping(0.8)), maps=painted((-0.5, 0.3, 0.3)))
    assert len(found) == CLASSES
    assert (found.scores > 0).all() and (found.scores < 1e-4).all()


def confident(heads):
    """Heads that are sure of different classes in different boxes."""
    modules = [*heads.box_predictor, heads.resampling_scoring]
    for module in modules:
        if module is not None:
            module.cls_score.weight.data.normal_(std=3)
    return heads


def test_scores_are_those_of_equation_4():
    heads = confident(build_scored(score_gamma=0.7))
    boxes, maps = [proposals(background(20)), proposals(background(3))], features(2)
    found = detect(heads, *boxes, maps=maps)
    resampling, heads.resampling_scoring = heads.resampling_scoring, None
    before = detect(heads, *boxes, maps=maps)  # (cls * iou), by the test above
    scores = []
    for image, (after, earlier) in enumerate(zip(found, before, strict=True)):
        with torch.no_grad():
            pooled = heads.box_pooler([maps["p2"][image : image + 1]], [earlier.pred_boxes])
            probabilities = resampling(pooled).softmax(dim=1)
        rows = torch.arange(len(earlier))
        rsm = probabilities[rows, earlier.pred_classes]
        expected = earlier.scores**0.7 * rsm**0.3
        order = expected.argsort(descending=True)
        torch.testing.assert_close(after.scores, expected[order])
        # The same boxes, of which none is dropped, in another order.
        torch.testing.assert_close(after.pred_boxes.tensor, earlier.pred_boxes.tensor[order])
        assert torch.equal(after.pred_classes, earlier.pred_classes[order])
        scores.append(not torch.equal(order, rows))
    assert len(found[0]) == 20 and any(scores)


def test_without_modules_it_is_the_cascade_beneath():
    scored = confident(build_scored(ism=False, rsm=False))
    plain = build(ResamplingCascadeROIHeads)
    plain.load_state_dict(scored.state_dict(), strict=True)
    boxes, maps = batch_of(OBJECTS, NOTHING), features(2)
    for ours, theirs in zip(
        detect(scored, *boxes, maps=maps), detect(plain, *boxes, maps=maps), strict=True
    ):
        assert torch.equal(ours.pred_boxes.tensor, theirs.pred_boxes.tensor)
        assert torch.equal(ours.scores, theirs.scores)
        assert torch.equal(ours.pred_classes, theirs.pred_classes)


@pytest.mark.parametrize("ism", [True, False])
@pytest.mark.parametrize("rsm", [True, False])
def test_either_module_alone(ism, rsm):
    heads = build_scored(ism=ism, rsm=rsm)
    losses = train(heads, OBJECTS, NOTHING)
    stages = {f"loss_{kind}_stage{stage}" for kind in ("cls", "box_reg") for stage in range(2)}
    scores = {"loss_ism": ism, "loss_rsm": rsm}
    assert losses.keys() == stages | {name for name, on in scores.items() if on}
    sum(losses.values()).backward()
    for name, parameter in heads.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name
    found = detect(heads, *batch_of(OBJECTS, NOTHING))
    assert [len(x) for x in found] == [20, 20]
    for image in found:
        assert set(image.get_fields()) == {"pred_boxes", "scores", "pred_classes"}
        assert (image.scores.diff() <= 0).all()


def spaced(count: int) -> torch.Tensor:
    """Boxes of which none suppresses another."""
    x = 16.0 * torch.arange(count)
    return torch.stack((x, torch.full_like(x, 20), x + 8, torch.full_like(x, 28)), dim=1)


@pytest.mark.parametrize("target", ["input", "output"])
@pytest.mark.parametrize(
    ("targets", "counts"),
    [
        ((NOTHING,), (5,)),  # no object
        ((NOTHING, OBJECTS), (5, 0)),  # no object beside no proposal
        ((NOTHING, NOTHING), (0, 3)),
        ((NOTHING,), (0,)),  # nothing at all
    ],
)
def test_images_with_little_to_learn_from(targets, counts, target):
    heads = build_scored(iou_target=target, resampling_positives=target)
    images = [proposals(spaced(count)) for count in counts]
    losses = train(heads, *targets, boxes=images)
    sum(losses.values()).backward()
    assert all(loss.isfinite() for loss in losses.values())
    for name, parameter in heads.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
    assert (losses["loss_ism"] > 0) == any(len(x) > 0 for x in targets)
    found = detect(heads, *images)
    assert [len(x) for x in found] == [min(20, CLASSES * count) for count in counts]


def test_ism_learns_nothing_where_the_last_stage_has_no_positive():
    heads = build_scored(proposal_append_gt=False)
    losses = train(heads, OBJECTS, boxes=[proposals(background(10))])
    assert losses["loss_ism"] == 0
    sum(losses.values()).backward()
    assert all(p.grad is not None and (p.grad == 0).all() for p in heads.iou_scoring.parameters())
    assert losses["loss_rsm"] > 0


def test_what_a_stage_makes_of_boxes_may_have_no_area():
    heads = build_scored(iou_target="output", resampling_positives="output")
    last = heads.box_predictor[-1].bbox_pred
    last.weight.data.zero_()
    last.bias.data.copy_(torch.tensor([-1e4, 0, 0, 0]))  # out of the image, clipped to its edge
    losses = train(heads, OBJECTS)
    sum(losses.values()).backward()
    for name, parameter in heads.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name


def test_mixed_precision_keeps_losses_and_scores_in_full():
    heads = confident(build_scored(iou_target="output", resampling_positives="output"))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = train(heads, OBJECTS, NOTHING)
    sum(losses.values()).backward()
    for name in ("loss_ism", "loss_rsm"):
        assert losses[name].dtype == torch.float32 and losses[name] > 0
    for name, parameter in heads.named_parameters():
        assert parameter.grad.isfinite().all() and parameter.grad.abs().max() > 0, name
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = detect(heads, *batch_of(OBJECTS))
    assert found[0].scores.dtype == torch.float32 and found[0].scores.isfinite().all()


def test_a_mask_head_beside_it_sees_the_samples_and_the_detections():
    heads = build_scored(
        mask_in_features=["p2"],
        mask_pooler=ROIPooler(2, scales=(0.25,), sampling_ratio=1, pooler_type="ROIAlignV2"),
        mask_head=MaskRCNNConvUpsampleHead(
            ShapeSpec(channels=CHANNELS, height=2, width=2), num_classes=CLASSES, conv_dims=[4, 4]
        ),
    )
    targets = [OBJECTS[:], NOTHING[:]]
    for image in targets:
        image.gt_masks = BitMasks(torch.ones(len(image), *SIZE, dtype=torch.bool))
    losses = train(heads, *targets)
    assert {"loss_mask", "loss_ism", "loss_rsm"} <= losses.keys() and losses["loss_mask"] > 0
    (found,) = detect(heads, *batch_of(OBJECTS))
    assert found.pred_masks.shape == (20, 1, 4, 4)
    with torch.no_grad():  # the masks of these boxes, in this order
        maps = features()
        (first,) = detect(heads, *batch_of(OBJECTS), maps=maps)
        masks = first.pred_masks
        first.remove("pred_masks")
        (again,) = heads.forward_with_given_boxes(maps, [first])
    torch.testing.assert_close(again.pred_masks, masks)


def test_a_checkpoint_of_detectron2_fits():
    theirs, ours = build_detectron2(), build_scored()
    outcome = ours.load_state_dict(theirs.state_dict(), strict=False)
    assert not outcome.unexpected_keys
    ours = {name.split(".")[0] for name in outcome.missing_keys}
    assert ours == {"iou_scoring", "resampling_scoring"}


def build_detectron2() -> CascadeROIHeads:
    def without_weights(stage_loss_weights, **arguments):
        return CascadeROIHeads(**arguments)

    return build(without_weights)


def test_wrong_arguments():
    with pytest.raises(ValueError, match=r"each of the 2 stages, not \(1.0, 1.0, 1.0\)"):
        build_scored(stage_loss_weights=(1, 1, 1))
