"""Cascade R-CNN's heads on toy maps: what each stage samples, learns and hands on."""

from __future__ import annotations

import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.matcher import Matcher
from detectron2.modeling.poolers import ROIPooler
from detectron2.modeling.roi_heads import (
    CascadeROIHeads,
    FastRCNNConvFCHead,
    FastRCNNOutputLayers,
)
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage

from cascade_rpn_d2.modeling import ResamplingCascadeROIHeads

SIZE = (80, 100)  # height and width of the images
CLASSES = 3


def build(cls=ResamplingCascadeROIHeads, *, agnostic=True, head=None, **changes):
    """Three stages on one map of stride 4; ``head`` changes the output layers of all of them."""
    output = {"num_classes": CLASSES, "smooth_l1_beta": 1.0, "test_topk_per_image": -1}
    arguments = {
        "num_classes": CLASSES,
        "batch_size_per_image": 16,
        "positive_fraction": 0.25,
        "proposal_matchers": [Matcher([iou], [0, 1]) for iou in (0.5, 0.6, 0.7)],
        "box_in_features": ["p2"],
        "box_pooler": ROIPooler(2, scales=(0.25,), sampling_ratio=1, pooler_type="ROIAlignV2"),
        "box_heads": [
            FastRCNNConvFCHead(ShapeSpec(channels=4, height=2, width=2), conv_dims=[], fc_dims=[8])
            for _ in range(3)
        ],
        "box_predictors": [
            FastRCNNOutputLayers(
                ShapeSpec(channels=8),
                box2box_transform=Box2BoxTransform((10.0, 10.0, 5.0, 5.0)),
                cls_agnostic_bbox_reg=agnostic,
                **output | (head or {}),
            )
            for _ in range(3)
        ],
    }
    return cls(**arguments | changes)


def features(images: int = 1, requires_grad: bool = False) -> dict[str, torch.Tensor]:
    maps = torch.randn(images, 4, SIZE[0] // 4, SIZE[1] // 4)
    return {"p2": maps.requires_grad_(requires_grad)}


def proposals(boxes: torch.Tensor, size: tuple[int, int] = SIZE) -> Instances:
    logits = torch.zeros(len(boxes))
    return Instances(size, proposal_boxes=Boxes(boxes), objectness_logits=logits)


def truth(*boxes: tuple[float, ...], size: tuple[int, int] = SIZE) -> Instances:
    return Instances(
        size,
        gt_boxes=Boxes(torch.tensor(boxes).view(-1, 4)),
        gt_classes=torch.arange(len(boxes)) % CLASSES,
    )


def background(count: int) -> torch.Tensor:
    """Boxes in the left half of an image, of 8 x 8 pixels."""
    corner = torch.rand(count, 2) * torch.tensor([SIZE[1] / 2 - 8, SIZE[0] - 8.0])
    return torch.cat((corner, corner + 8), dim=1)


OBJECTS = truth((60.0, 10, 90, 40), (55.0, 50, 95, 70))  # in the right half


def train(heads, batch, targets, maps=None):
    """Losses of a step, and the samples of its stages."""
    stages = []
    losses_of = heads._stage_losses

    def record(step, stage):
        stages.append(step.proposals)
        return losses_of(step, stage)

    heads._stage_losses = record
    with EventStorage():
        _, losses = heads.train()(None, maps or features(len(batch)), batch, targets)
    heads._stage_losses = losses_of
    return losses, stages


def shift(heads: ResamplingCascadeROIHeads, *deltas: float) -> None:
    """Make every stage move its boxes by these deltas, whatever it sees."""
    for predictor in heads.box_predictor:
        predictor.bbox_pred.weight.data.zero_()
        predictor.bbox_pred.bias.data.copy_(torch.tensor(deltas))


def test_every_stage_samples_and_has_the_objects_once():
    heads = build()
    losses, stages = train(heads, [proposals(background(60))], [OBJECTS])
    assert losses.keys() == {f"loss_{k}_stage{s}" for k in ("cls", "box_reg") for s in range(3)}
    assert len(stages) == 3
    for (samples,) in stages:
        assert len(samples) == 16
        objects = samples[samples.is_object]
        # The only boxes in the right half, though the first two stages refined them as well.
        assert (samples.proposal_boxes.tensor[:, 0] > 50).sum() == len(objects) == 2
        assert set(objects.gt_classes.tolist()) == {0, 1}
        assert torch.equal(objects.proposal_boxes.tensor, objects.gt_boxes.tensor)
        assert (samples.gt_classes[~samples.is_object] == CLASSES).all()


def test_every_stage_bounds_the_share_of_positives():
    heads = build()
    around = OBJECTS.gt_boxes.tensor[:1] + torch.rand(40, 4)
    batch = [proposals(torch.cat((around, background(60))))]
    _, stages = train(heads, batch, [OBJECTS])
    for (samples,) in stages:
        assert len(samples) == 16
        assert (samples.gt_classes < CLASSES).sum() == 4


def test_a_stage_refines_the_samples_of_the_stage_before():
    heads = build()
    shift(heads, 5.0, 0, 0, 0)
    heads.box_predictor[1].box2box_transform = Box2BoxTransform((20.0, 20.0, 10.0, 10.0))
    _, (first, second, third) = train(heads, [proposals(background(60))], [OBJECTS])
    # To the right, by half of the 8 pixels that a box is wide in the first stage, then a quarter.
    for (before,), (after,), pixels in ((first, second, 4.0), (second, third, 2.0)):
        moved = torch.tensor([pixels, 0, pixels, 0])
        expected = before.proposal_boxes.tensor[~before.is_object] + moved
        found = after.proposal_boxes.tensor[~after.is_object]
        assert len(expected) == len(found) == 14
        distance = (found[:, None] - expected).abs().amax(dim=2)  # in another order
        assert (distance.amin(dim=1) < 1e-4).all() and (distance.amin(dim=0) < 1e-4).all()


def test_stages_match_with_their_own_iou():
    heads = build(proposal_append_gt=False, positive_fraction=1.0)
    shift(heads, 0, 0, 0, 0)
    x1, y1, x2, y2 = OBJECTS.gt_boxes.tensor[0].tolist()
    # IoU 0.55, 0.65 and 0.75 with the first object.
    boxes = torch.tensor([[x1, y1, x1 + iou * (x2 - x1), y2] for iou in (0.55, 0.65, 0.75)])
    _, stages = train(heads, [proposals(boxes)], [OBJECTS])
    assert [int((s.gt_classes < CLASSES).sum()) for (s,) in stages] == [3, 2, 1]
    assert not any(s.is_object.any() for (s,) in stages)


def test_the_first_stage_samples_as_detectron2_does():
    around = OBJECTS.gt_boxes.tensor.repeat(10, 1) + torch.rand(20, 4)
    boxes = torch.cat((background(60), around))

    def sample(heads):
        torch.manual_seed(3)
        with EventStorage() as storage:
            (samples,) = heads.label_and_sample_proposals([proposals(boxes)], [OBJECTS])
        return samples, {name: value for name, (value, _) in storage.latest().items()}

    (ours, logged), (theirs, expected) = sample(build()), sample(build(CascadeROIHeads))
    assert logged == expected == {"roi_head/num_fg_samples": 4, "roi_head/num_bg_samples": 12}
    assert torch.equal(ours.gt_classes, theirs.gt_classes)
    assert torch.equal(ours.proposal_boxes.tensor, theirs.proposal_boxes.tensor)
    assert torch.equal(ours.gt_boxes.tensor, theirs.gt_boxes.tensor)


def test_weights_scale_the_losses_of_their_stage_exactly():
    batch, maps = [proposals(background(60))], features()

    def losses(*weights):
        torch.manual_seed(1)
        return train(build(stage_loss_weights=weights), batch, [OBJECTS], maps)[0]

    plain, weighted = losses(1, 1, 1), losses(1, 0.5, 0.25)
    for name, value in plain.items():
        assert value > 0
        factor = {"0": 1, "1": 0.5, "2": 0.25}[name[-1]]
        assert torch.equal(weighted[name], value * factor)


def test_gradients_reach_the_features_unscaled():
    heads, maps = build(stage_loss_weights=(1, 0, 0)), features(requires_grad=True)
    losses, (samples, _, _) = train(heads, [proposals(background(60))], [OBJECTS], maps)
    (found,) = torch.autograd.grad(sum(losses.values()), maps["p2"])
    pooled = heads.box_pooler([maps["p2"]], [samples[0].proposal_boxes])
    with EventStorage():
        prediction = heads.box_predictor[0](heads.box_head[0](pooled))
        alone = heads.box_predictor[0].losses(prediction, samples)
    (expected,) = torch.autograd.grad(sum(alone.values()), maps["p2"])
    assert expected.abs().max() > 0
    torch.testing.assert_close(found, expected)


def test_gradients_reach_every_parameter_of_every_stage():
    heads = build()
    losses, _ = train(heads, [proposals(background(60))], [OBJECTS])
    sum(losses.values()).backward()
    for name, parameter in heads.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


def confident(heads):
    """Heads whose stages are sure, and not of the same."""
    for predictor in heads.box_predictor:
        predictor.cls_score.weight.data.normal_(std=3)
        predictor.bbox_pred.weight.data.normal_(std=0.3)
    return heads.eval()


def test_scores_are_the_softmax_of_the_mean_logits_and_boxes_the_last_ones():
    # No detection suppresses another: an IoU is not above 1.
    heads = confident(build(head={"test_nms_thresh": 1.0}))
    stages = []
    run_stage = heads._run_stage

    def record(*arguments):
        stages.append(run_stage(*arguments))
        return stages[-1]

    heads._run_stage = record
    with torch.no_grad():
        (found,), losses = heads(None, features(), [proposals(background(12))])
    assert losses == {} and len(stages) == 3
    logits = [step.prediction[0].double() for step in stages]
    scores = (sum(logits) / 3).softmax(dim=1)[:, :CLASSES]
    averaged = sum(each.softmax(dim=1) for each in logits)[:, :CLASSES] / 3
    assert (scores - averaged).abs().max() > 0.05

    last, _, (_, deltas) = stages[-1]
    transform = heads.box_predictor[-1].box2box_transform
    boxes = Boxes(transform.apply_deltas(deltas, last[0].proposal_boxes.tensor))
    boxes.clip(SIZE)
    order = scores.flatten().argsort(descending=True)
    torch.testing.assert_close(found.scores.double(), scores.flatten()[order], atol=1e-5, rtol=0)
    assert torch.equal(found.pred_classes, order % CLASSES)
    torch.testing.assert_close(found.pred_boxes.tensor, boxes.tensor[order // CLASSES])
    # And the second stage was given what the first made of the proposals.
    given, _, (_, deltas) = stages[0]
    refined = Boxes(transform.apply_deltas(deltas, given[0].proposal_boxes.tensor))
    refined.clip(SIZE)
    assert torch.equal(stages[1].proposals[0].proposal_boxes.tensor, refined.tensor)


def test_format_of_the_detections():
    heads = confident(build(head={"test_score_thresh": 0.3, "test_topk_per_image": 5}))
    batch = [proposals(background(40)), proposals(torch.zeros(0, 4))]
    with torch.no_grad():
        (found, none), _ = heads(None, features(2), batch)
    assert len(found) == 5 and len(none) == 0
    for instances in (found, none):
        assert set(instances.get_fields()) == {"pred_boxes", "scores", "pred_classes"}
        assert instances.image_size == SIZE
    assert (found.scores > 0.3).all() and found.pred_classes.max() < CLASSES
    with torch.no_grad():
        (none,), _ = heads(None, features(), [proposals(torch.zeros(0, 4))])
    assert len(none) == 0


@pytest.mark.parametrize("boxes", [torch.zeros(0, 4), torch.tensor([[2.0, 2, 20, 20]])])
def test_an_image_without_objects_beside_one_with(boxes):
    heads, maps = build(), features(2, requires_grad=True)
    batch = [proposals(boxes), proposals(background(30))]
    losses, stages = train(heads, batch, [truth(), OBJECTS], maps)
    sum(losses.values()).backward()
    assert all(loss.isfinite() for loss in losses.values())
    for empty, other in stages:
        assert len(empty) == len(boxes) and (empty.gt_classes == CLASSES).all()
        assert len(other) == 16 and other.is_object.sum() == 2


@pytest.mark.parametrize("objects", [truth(), OBJECTS])
def test_no_proposals_at_all(objects):
    heads = build()
    losses, stages = train(heads, [proposals(torch.zeros(0, 4))], [objects])
    sum(losses.values()).backward()
    for (samples,) in stages:
        assert len(samples) == len(objects) and samples.is_object.all()
    for name, parameter in heads.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
    if len(objects) == 0:
        assert all(loss == 0 for loss in losses.values())


def test_boxes_that_lose_their_area_are_no_samples():
    heads = build()
    shift(heads, -1e4, 0, 0, 0)  # out of the image, and clipped to its edge
    losses, stages = train(heads, [proposals(background(60))], [OBJECTS])
    assert all(loss.isfinite() for loss in losses.values())
    assert [len(s) for (s,) in stages] == [16, 2, 2]
    losses, stages = train(heads, [proposals(background(60))], [truth()])
    assert all(loss.isfinite() for loss in losses.values())
    assert [len(s) for (s,) in stages] == [16, 0, 0]


def test_boxes_without_area_are_no_detections_and_take_no_places():
    heads = confident(build(head={"test_topk_per_image": 4, "test_score_thresh": 0.0}))
    for predictor in heads.box_predictor:
        predictor.bbox_pred.weight.data.zero_()
        predictor.cls_score.weight.data.zero_()
    line, point = [10.0, 5, 10, 40], [30.0, 30, 30, 30]
    box = [60.0, 10, 90, 40]
    with torch.no_grad():
        boxes = torch.tensor([line, point, box, line, [-20.0, 5, -10, 20]])
        (found,), _ = heads(None, features(), [proposals(boxes)])
    assert found.scores.isfinite().all()
    torch.testing.assert_close(found.pred_boxes.tensor, torch.tensor([box]).expand(CLASSES, 4))


def test_a_refined_box_is_clipped_to_its_own_image():
    heads = build()
    shift(heads, 0, 0, 20.0, 20.0)  # dw = dh = 4: much larger than any image
    sizes = (SIZE, (40, 60))
    batch = [proposals(background(30), size) for size in sizes]
    _, stages = train(heads, batch, [truth(size=size) for size in sizes])
    for image, (height, width) in enumerate(sizes):
        refined = stages[1][image].proposal_boxes.tensor
        assert len(refined) > 0
        assert refined[:, 2].max() == width and refined[:, 3].max() == height
        assert refined.min() == 0


def test_a_checkpoint_of_detectron2_fits():
    theirs, ours = build(CascadeROIHeads), build()
    ours.load_state_dict(theirs.state_dict(), strict=True)


def test_wrong_arguments():
    with pytest.raises(ValueError, match=r"each of the 3 stages, not \(1.0, 0.5\)"):
        build(stage_loss_weights=(1, 0.5))
    with pytest.raises(ValueError, match="cls_agnostic_bbox_reg=True.* instead of 12"):
        build(agnostic=False)
