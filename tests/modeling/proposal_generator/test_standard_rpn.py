"""RPN: which anchors learn which objects, and what Detectron2's own does alike."""

from __future__ import annotations

import math

import pytest
import torch
from detectron2.config import get_cfg
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_proposal_generator
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.modeling.matcher import Matcher
from detectron2.modeling.proposal_generator import RPN, StandardRPNHead
from detectron2.structures import Boxes, ImageList, Instances
from detectron2.utils.events import EventStorage

from cascade_rpn_d2.config import add_cascade_rpn_config
from cascade_rpn_d2.modeling import (
    BoxCoder,
    GroundTruth,
    IoUAssigner,
    RandomSampler,
    Refinement,
    SmoothL1Loss,
    StandardRPN,
    SymmetricBox2BoxTransform,
)
from cascade_rpn_d2.modeling.ground_truth import valid_cells
from tests.modeling.proposal_generator.traces import assert_a_trace_leaves_out_padding

# One anchor of 32 px in each of 4x4 cells of 16 px. Those of the four cells in the middle are
# inside an image of 64 px: cells 5, 6, 9 and 10, the first from (8, 8) to (40, 40).
SIZE = (64, 64)
INSIDE = [5, 6, 9, 10]
AT_THE_BORDER = (0.0, 0, 24, 24)  # IoU 0.56 with the anchor of cell 0, 0.19 with that of cell 5
IN_THE_CORNER = (0.0, 0, 6, 6)  # overlaps no anchor inside


def anchors_of_one_level() -> DefaultAnchorGenerator:
    return DefaultAnchorGenerator(sizes=[[32]], aspect_ratios=[1.0], strides=[16], offset=0.5)


def build(
    border: float | None = 0.0,
    least: float | None = 1e-6,
    claims: str = "label",
    across: bool = False,
    **changes,
) -> StandardRPN:
    arguments = {
        "in_features": ["conv5"],
        "head": StandardRPNHead(in_channels=2, num_anchors=1),
        "anchor_generator": anchors_of_one_level(),
        "refinement": Refinement(
            box_coder=BoxCoder(),
            assigner=IoUAssigner(0.7, 0.3, least, claims=claims),
            sampler=RandomSampler(256, 0.5),  # more than there are: nothing is left to chance
            box_loss=SmoothL1Loss(1 / 9),
            border=border,
            match_across_border=across,
        ),
        "pre_nms_topk": (50, 50),
        "post_nms_topk": (20, 20),
        "nms_thresh": 0.7,
        "size_divisibility": 16,
    }
    return StandardRPN(**arguments | changes)


def detectron2s(boundary: float = -1, **changes) -> RPN:
    arguments = {
        "in_features": ["conv5"],
        "head": StandardRPNHead(in_channels=2, num_anchors=1),
        "anchor_generator": anchors_of_one_level(),
        "anchor_matcher": Matcher([0.3, 0.7], [0, -1, 1], allow_low_quality_matches=True),
        "box2box_transform": SymmetricBox2BoxTransform(weights=[1.0, 1.0, 1.0, 1.0]),
        "batch_size_per_image": 256,
        "positive_fraction": 0.5,
        "pre_nms_topk": (50, 50),
        "post_nms_topk": (20, 20),
        "smooth_l1_beta": 1 / 9,
        "anchor_boundary_thresh": boundary,
    }
    return RPN(**arguments | changes)


def objects(*boxes: tuple[float, ...], size: tuple[int, int] = SIZE) -> Instances:
    return Instances(size, gt_boxes=Boxes(torch.tensor(boxes).view(-1, 4)))


def maps(images: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return {"conv5": torch.randn(images, 2, 4, 4, generator=generator)}


def batch(*sizes: tuple[int, int]) -> ImageList:
    return ImageList(torch.zeros(len(sizes), 3, *SIZE), list(sizes))


def assign(generator: StandardRPN, *images: Instances) -> tuple[list[list[int]], torch.Tensor]:
    """Labels of the anchors of every image, and the objects (N, R, 4) that they learn."""
    levels = [torch.zeros(len(images), 2, 4, 4)]
    (anchors,) = generator.anchor_generator(levels)
    boxes = anchors.tensor.expand(len(images), -1, -1)
    truth, grids = GroundTruth.from_instances(images), generator.grids(levels)
    sizes = torch.tensor([x.image_size for x in images])
    valid = valid_cells(grids, sizes, 1, 16)
    found = generator.refinement.assign(boxes, truth, grids, valid, sizes)
    return found.labels.tolist(), truth.of(found.matched)


def only(labels: list[int], value: int) -> list[int]:
    return [i for i, label in enumerate(labels) if label == value]


def test_an_object_at_the_border_claims_the_best_anchor_inside():
    (labels,), boxes = assign(build(), objects(AT_THE_BORDER))
    assert only(labels, 1) == [5] and only(labels, 0) == [6, 9, 10]
    assert boxes[0, 5].tolist() == list(AT_THE_BORDER)


def test_an_object_may_claim_an_anchor_across_the_border_which_nothing_then_learns():
    """As in Detectron2."""
    (labels,), _ = assign(build(across=True), objects(AT_THE_BORDER))
    assert only(labels, 1) == [] and only(labels, 0) == INSIDE
    theirs, _ = detectron2s(boundary=0).label_and_sample_anchors(
        anchors_of_one_level()([torch.zeros(1, 2, 4, 4)]), [objects(AT_THE_BORDER)]
    )
    assert labels == theirs[0].tolist()


def test_an_object_below_the_least_iou_claims_nothing():
    """The best anchor inside overlaps this one by an IoU of 0.19."""
    (labels,), _ = assign(build(least=0.3), objects(AT_THE_BORDER))
    assert only(labels, 1) == [] and only(labels, 0) == INSIDE


def test_an_object_that_overlaps_no_anchor_inside_claims_nothing():
    (labels,), _ = assign(build(), objects(IN_THE_CORNER))
    assert only(labels, 1) == [] and only(labels, 0) == INSIDE
    # Anchors that overlap another object a little, as that of cell 6 does, stay negative too.
    other = (8.0, 8, 40, 24)
    (labels,), boxes = assign(build(), objects(IN_THE_CORNER, other))
    assert only(labels, 1) == [5] and only(labels, 0) == [6, 9, 10]
    assert boxes[0, 5].tolist() == list(other)


def test_images_of_a_batch_have_borders_and_objects_of_their_own():
    images = objects(AT_THE_BORDER), objects(), objects((8.0, 8, 40, 24), size=(64, 48))
    labels, _ = assign(build(), *images)
    assert only(labels[0], 1) == [5] and only(labels[1], 0) == INSIDE
    # In an image 48 px wide, the anchors of cells 6 and 10 cross the border.
    assert only(labels[2], 1) == [5] and only(labels[2], 0) == [9]


def test_anchors_may_reach_over_the_border_by_its_width():
    (labels,), _ = assign(build(border=9), objects(AT_THE_BORDER))
    assert only(labels, 1) == [0] and only(labels, -1) == [1, 4]  # with an IoU of 0.32


def test_without_a_border_labels_losses_and_proposals_are_detectron2s():
    images = [objects(AT_THE_BORDER, (20.0, 24, 60, 64)), objects((30.0, 2, 62, 30))]
    ours, theirs = build(border=None, least=0.0, nms_thresh=0.6), detectron2s(nms_thresh=0.6)
    theirs.load_state_dict(ours.state_dict())  # by the same names
    with EventStorage():
        mine, losses = ours(batch(SIZE, SIZE), maps(2), images)
        other, expected = theirs(batch(SIZE, SIZE), maps(2), images)
    labels, boxes = assign(ours, *images)
    anchors = anchors_of_one_level()([torch.zeros(2, 2, 4, 4)])
    their_labels, their_boxes = theirs.label_and_sample_anchors(anchors, images)
    assert labels == [x.tolist() for x in their_labels]
    for a, b, image in zip(boxes, their_boxes, labels, strict=True):
        assert torch.equal(a[only(image, 1)], b[only(image, 1)])
    # Theirs are divided by the samples that were asked for, ours by those that there are.
    share = 256 * 2 / sum(len(only(x, 0)) + len(only(x, 1)) for x in labels)
    for name, loss in losses.items():
        assert loss.item() == pytest.approx(expected[name].item() * share, rel=1e-5)
    for a, b in zip(mine, other, strict=True):
        assert torch.equal(a.objectness_logits, b.objectness_logits)
        assert torch.allclose(a.proposal_boxes.tensor, b.proposal_boxes.tensor, atol=1e-5)


def test_an_image_has_the_proposals_that_it_has_alone():
    """Cells that are there for a larger image of the batch propose nothing."""
    generator = build(post_nms_topk=(50, 50), nms_thresh=1.0).eval()
    features = maps(2)
    # A 3x3 convolution sees beyond the border: a 1x1 one does not.
    generator.rpn_head.conv.weight.data[..., [0, 2]] = 0
    generator.rpn_head.conv.weight.data[..., [0, 2], :] = 0
    alone, _ = generator(
        ImageList(torch.zeros(1, 3, 32, 48), [(32, 48)]),
        {"conv5": features["conv5"][:1, :, :2, :3]},
    )
    together, _ = generator(batch((32, 48), SIZE), features)
    assert len(alone[0]) == len(together[0]) == 6
    assert torch.allclose(alone[0].proposal_boxes.tensor, together[0].proposal_boxes.tensor)
    generator.propose_in_padding = True
    together, _ = generator(batch((32, 48), SIZE), features)
    assert len(together[0]) > 6


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_a_trace_leaves_out_the_padding_of_other_sizes():
    head = StandardRPNHead(in_channels=8, num_anchors=2)
    # What is seen lowers a score, so that black padding has the best ones.
    torch.nn.init.normal_(head.conv.weight)
    head.objectness_logits.weight.data.abs_().neg_()
    generator = build(
        in_features=["p2", "p3", "p4"],
        head=head,
        anchor_generator=DefaultAnchorGenerator(
            sizes=[[16], [32], [64]], aspect_ratios=[0.5, 2.0], strides=[4, 8, 16]
        ),
        size_divisibility=32,
    )
    assert_a_trace_leaves_out_padding(generator)


@pytest.mark.parametrize("size", [SIZE, (20, 20)])
def test_a_step_has_finite_losses_even_where_no_anchor_is_inside(size):
    generator = build(log_period=1)
    images = ImageList(torch.zeros(1, 3, *size), [size])
    with EventStorage() as storage:
        proposals, losses = generator(images, maps(1), [objects((2.0, 2, 18, 18), size=size)])
        assert "rpn/num_pos" in storage.latest()
    sum(losses.values()).backward()
    assert set(losses) == {"loss_rpn_cls", "loss_rpn_loc"}
    assert all(loss.isfinite() for loss in losses.values())
    assert all(p.grad is not None for p in generator.parameters())
    assert (losses["loss_rpn_cls"] > 0) == (size == SIZE)
    assert len(proposals) == 1


def test_a_model_of_proposals_alone_need_not_make_them_while_training():
    generator = build(propose_in_training=False)
    with EventStorage():
        proposals, losses = generator(batch(SIZE), maps(1), [objects(AT_THE_BORDER)])
    assert proposals == [] and len(losses) == 2


def test_training_without_objects_is_refused_in_words():
    with pytest.raises(ValueError, match="StandardRPN needs gt_instances while training"):
        build()(batch(SIZE), maps(1))


def yacs_config(**changes):
    cfg = get_cfg()
    add_cascade_rpn_config(cfg)
    cfg.MODEL.PROPOSAL_GENERATOR.NAME = "StandardRPN"
    cfg.MODEL.RPN.IN_FEATURES = ["conv5"]
    for key, value in changes.items():
        cfg.MODEL.RPN[key] = value
    return cfg


def build_from(cfg) -> StandardRPN:
    return build_proposal_generator(cfg, {"conv5": ShapeSpec(channels=8, stride=16)})


def test_yacs_keys_reach_its_parts():
    cfg = yacs_config(
        BOUNDARY_THRESH=3, MIN_POSITIVE_IOU=0.2, CLAIMS="label", MATCH_ACROSS_BORDER=True,
        IOU_THRESHOLDS=[0.25, 0.6], BBOX_REG_WEIGHTS=(2.0, 2.0, 4.0, 4.0), LOSS_WEIGHT=0.5,
        BBOX_REG_LOSS_WEIGHT=3.0, SMOOTH_L1_BETA=0.1, BATCH_SIZE_PER_IMAGE=64,
    )  # fmt: skip
    refinement = build_from(cfg).refinement
    assert (refinement.border, refinement.match_across_border) == (3, True)
    assigner = refinement.assigner
    assert (assigner.negative_iou, assigner.positive_iou) == (0.25, 0.6)
    assert (assigner.min_positive_iou, assigner.claims) == (0.2, "label")
    assert refinement.box_coder.stds == (0.5, 0.5, 0.25, 0.25)
    assert (refinement.loc_weight, refinement.cls_weight) == (1.5, 0.5)
    assert refinement.box_loss.beta == 0.1
    assert refinement.sampler.batch_size_per_image == 64
    assert build_from(yacs_config()).refinement.border is None  # Detectron2's -1


@pytest.mark.parametrize(("key", "value"), [
    ("IOU_LABELS", [0, 1, 1]), ("BBOX_REG_LOSS_TYPE", "giou"), ("IOU_THRESHOLDS", [0.5]),
])  # fmt: skip
def test_yacs_values_that_it_has_not_are_refused_in_words(key, value):
    with pytest.raises(ValueError, match=rf"MODEL\.RPN\.{key} of a StandardRPN"):
        build_from(yacs_config(**{key: value}))


@pytest.mark.parametrize("value", [
    (1.0, 0.0, 1.0, 1.0), (1.0, -1.0, 1.0, 1.0), (1.0, math.inf, 1.0, 1.0), (1.0, 1.0, 1.0),
])  # fmt: skip
def test_weights_that_are_no_four_positive_numbers_are_refused(value):
    message = r"^MODEL\.RPN\.BBOX_REG_WEIGHTS has four positive numbers .*, not \(1\.0, "
    with pytest.raises(ValueError, match=message):
        build_from(yacs_config(BBOX_REG_WEIGHTS=value))
