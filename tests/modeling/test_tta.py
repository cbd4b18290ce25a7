"""Views of an image, and detections in them that are led back to it."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from detectron2.config import LazyCall as L
from detectron2.config import get_cfg
from detectron2.data import transforms as T
from detectron2.layers import ShapeSpec
from detectron2.modeling import DatasetMapperTTA, GeneralizedRCNN, GeneralizedRCNNWithTTA
from detectron2.modeling.roi_heads import CascadeROIHeads, MaskRCNNConvUpsampleHead
from detectron2.structures import Boxes, Instances
from torch import nn

from cascade_rpn_d2 import model_zoo
from cascade_rpn_d2.model_zoo import instantiate_model
from cascade_rpn_d2.modeling import (
    AugmentedViews,
    DetectorWithTTA,
    NMSMerge,
    ResamplingCascadeROIHeads,
    SoftNMSMerge,
)
from tests.engine.tiny_models import tiny_config_file

AS_IT_IS = (0, 10_000)  # a size that scales nothing
# As the authors test with, for images an eighth of the size; the last is cut to 107 x 160.
SIZES = [(100, 166), *((size, 160) for size in (50, 62, 75, 87, 112))]
CLASSES = 3


class PixelDetector(GeneralizedRCNN):
    """Detects the bright rectangle of every channel: what it says is a function of the pixels."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.roi_heads = nn.Module()
        self.batches: list[list[tuple[int, int]]] = []

    def inference(self, batched_inputs, detected_instances=None, do_postprocess=True):
        assert detected_instances is None and not do_postprocess
        self.batches.append([tuple(view["image"].shape[1:]) for view in batched_inputs])
        return [self.detect(view["image"]) for view in batched_inputs]

    def detect(self, image: torch.Tensor) -> Instances:
        boxes, scores, classes = [], [], []
        for channel, pixels in enumerate(image):
            bright = (pixels > 110).nonzero()
            if len(bright):
                (y1, x1), (y2, x2) = bright.amin(0).tolist(), bright.amax(0).tolist()
                boxes.append([x1, y1, x2 + 1, y2 + 1])
                scores.append(float(pixels[pixels > 110].float().mean()) / 255)
                classes.append(channel)
        return Instances(
            tuple(image.shape[1:]),
            pred_boxes=Boxes(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)),
            scores=torch.tensor(scores),
            pred_classes=torch.tensor(classes, dtype=torch.int64),
        )


OBJECTS = torch.tensor([[12.0, 20, 72, 84], [80, 8, 144, 60]])  # of classes 0 and 2


def picture(objects: torch.Tensor = OBJECTS) -> dict:
    """An image of 100 x 150 in which every second channel has an object."""
    image = torch.zeros(3, 100, 150, dtype=torch.uint8)
    for channel, box in zip((0, 2), objects.int().tolist(), strict=False):
        x1, y1, x2, y2 = box
        image[channel, y1:y2, x1:x2] = 220
    return {"image": image, "height": 100, "width": 150, "image_id": 7}


def wrapped(model: nn.Module, sizes=(AS_IT_IS,), merge=None, **options) -> DetectorWithTTA:
    flip = options.pop("flip", True)
    merge = merge or SoftNMSMerge()
    return DetectorWithTTA(model.eval(), AugmentedViews(list(sizes), flip), merge, **options)


def keep_all(detections: Instances) -> Instances:
    return detections


def test_every_size_has_its_own_limit_and_a_mirror_image():
    views = AugmentedViews([(100, 200), (100, 120), (50, 120), AS_IT_IS])
    made = views(picture())
    assert len(made) == len(views) == 8
    shapes = [tuple(view["image"].shape[1:]) for view in made]
    assert shapes[::2] == shapes[1::2] == [(100, 150), (80, 120), (50, 75), (100, 150)]
    for view, mirrored in zip(made[::2], made[1::2], strict=True):
        assert torch.equal(view["image"].flip(2), mirrored["image"])
        assert (view["image_id"], view["height"], view["width"]) == (7, 100, 150)
    assert torch.equal(made[-2]["image"], picture()["image"])
    assert len(AugmentedViews([AS_IT_IS], flip=False)(picture())) == 1


def test_views_are_those_of_detectron2():
    for size in SIZES:
        theirs = DatasetMapperTTA(min_sizes=[size[0]], max_size=size[1], flip=True)(picture())
        ours = AugmentedViews([size])(picture())
        for one, other in zip(ours, theirs, strict=True):
            assert torch.equal(one["image"], other["image"])
            assert repr(one["transforms"]) == repr(other["transforms"])


def test_a_resize_of_ones_own_makes_the_views():
    views = AugmentedViews([(50, 99)], resize=lambda short, long: T.Resize((short, long)))
    assert [tuple(view["image"].shape) for view in views(picture())] == [(3, 50, 99)] * 2


@pytest.mark.parametrize("index", range(2 * len(SIZES)))
def test_boxes_of_every_view_come_back_to_the_image(index):
    every = AugmentedViews(SIZES)
    detector = DetectorWithTTA(
        PixelDetector().eval(), lambda record: every(record)[index : index + 1], keep_all
    )
    (output,) = detector([picture()])
    found = output["instances"]
    assert found.image_size == (100, 150)
    assert found.pred_classes.tolist() == [0, 2]
    # The edges of a scaled rectangle are known to a pixel of the view.
    pixel = 100 / every(picture())[index]["image"].shape[1]
    assert (found.pred_boxes.tensor - OBJECTS).abs().max() <= 1.01 * pixel


def test_a_mirror_image_changes_nothing_but_the_number_of_detections():
    (plain,) = wrapped(PixelDetector(), merge=keep_all, flip=False)([picture()])
    (both,) = wrapped(PixelDetector(), merge=keep_all)([picture()])
    assert torch.equal(plain["instances"].pred_boxes.tensor, OBJECTS)
    assert torch.equal(both["instances"].pred_boxes.tensor, OBJECTS.repeat(2, 1))
    assert torch.equal(both["instances"].scores, plain["instances"].scores.repeat(2))


def test_what_is_detected_in_a_mirrored_image_is_mirrored():
    mirrored = picture()
    mirrored["image"] = mirrored["image"].flip(2)
    (output,) = wrapped(PixelDetector(), SIZES)([picture()])
    (other,) = wrapped(PixelDetector(), SIZES)([mirrored])
    found, back = output["instances"], other["instances"]
    expected = found.pred_boxes.tensor[:, [2, 1, 0, 3]] * torch.tensor([-1, 1, -1, 1])
    expected += torch.tensor([150, 0, 150, 0])
    # A view and its mirror image say the same, so which of them a merge keeps is left open.
    distance = (back.pred_boxes.tensor[:, None] - expected).abs().amax(2)
    assert len(found) == len(back) and (distance.amin(0) < 1e-3).all()
    assert torch.allclose(back.scores, found.scores)


def test_the_merge_joins_what_all_views_say():
    (output,) = wrapped(PixelDetector(), SIZES, NMSMerge())([picture()])
    merged = output["instances"]
    assert sorted(merged.pred_classes.tolist()) == [0, 2]
    order = merged.pred_classes.argsort()
    assert (merged.pred_boxes.tensor[order] - OBJECTS).abs().max() < 2.1


def test_an_image_with_nothing_beside_one_with_something():
    outputs = wrapped(PixelDetector(), SIZES)([picture(OBJECTS[:0]), picture()])
    nothing = outputs[0]["instances"]
    assert len(nothing) == 0 and nothing.image_size == (100, 150)
    assert set(nothing.get_fields()) == {"pred_boxes", "scores", "pred_classes"}
    assert len(outputs[1]["instances"]) > 0


@pytest.mark.parametrize(("batch_size", "forwards"), [(1, 12), (2, 6), (8, 5)])
def test_views_of_one_size_share_a_forward_pass(batch_size, forwards):
    model = PixelDetector()
    # 107 and 112 are both cut to 107 x 160.
    sizes = [(100, 166), (50, 160), (75, 160), (107, 160), (112, 160), (62, 160)]
    (output,) = wrapped(model, sizes, keep_all, batch_size=batch_size)([picture()])
    assert len(model.batches) == forwards
    assert all(len(set(batch)) == 1 and len(batch) <= batch_size for batch in model.batches)
    # In the order of the views whatever the batches: an object of each class in each.
    assert output["instances"].pred_classes.tolist() == [0, 2] * 12


def test_boxes_without_area_take_no_places():
    model = PixelDetector()
    flat = Instances(
        (100, 150),
        pred_boxes=Boxes(torch.tensor([[160.0, 5, 170, 9], [3, 3, 3, 8], [1, 1, 160, 90]])),
        scores=torch.tensor([0.9, 0.8, 0.7]),
        pred_classes=torch.zeros(3, dtype=torch.int64),
    )
    model.detect = lambda image: flat
    (output,) = wrapped(model, merge=NMSMerge(topk=1), flip=False)([picture()])
    assert output["instances"].pred_boxes.tensor.tolist() == [[1, 1, 150, 90]]


def test_an_image_that_was_scaled_before_is_led_back_to_its_file():
    record = picture()
    record["height"], record["width"] = 50, 300
    (output,) = wrapped(PixelDetector(), [(80, 200)], keep_all)([record])
    found = output["instances"]
    assert found.image_size == (50, 300)
    expected = OBJECTS.repeat(2, 1) * torch.tensor([2, 0.5, 2, 0.5])
    assert (found.pred_boxes.tensor - expected).abs().max() < 2.6
    del record["height"], record["width"]
    (output,) = wrapped(PixelDetector(), merge=keep_all, flip=False)([record])
    assert torch.equal(output["instances"].pred_boxes.tensor, OBJECTS)


def tiny_detector(change: Callable | None = None) -> GeneralizedRCNN:
    config = model_zoo.get_config(tiny_config_file("tiny_faster_rcnn"))
    config.model.roi_heads.num_classes = CLASSES
    config.model.roi_heads.box_predictor.test_score_thresh = 0.05
    if change is not None:
        change(config.model)
    torch.manual_seed(3)
    model = instantiate_model(config)
    for name, weight in model.roi_heads.named_parameters():
        # Scores, boxes and masks that differ.
        if name.endswith(("cls_score.weight", "bbox_pred.weight", "predictor.weight")):
            nn.init.normal_(weight, std=0.2)
    return model.eval()


def with_masks(model) -> None:
    heads = model.roi_heads
    heads.mask_in_features = heads.box_in_features
    heads.mask_pooler = copy.deepcopy(heads.box_pooler)
    heads.mask_head = L(MaskRCNNConvUpsampleHead)(
        input_shape=L(ShapeSpec)(channels=64, height=7, width=7),
        num_classes=CLASSES,
        conv_dims=[8, 8],
    )


def with_stages(cls: type) -> Callable:
    def change(model) -> None:
        heads = model.roi_heads
        heads._target_ = cls
        matcher, head = heads.pop("proposal_matcher"), heads.pop("box_head")
        predictor = heads.pop("box_predictor")
        predictor.num_classes, predictor.cls_agnostic_bbox_reg = CLASSES, True
        heads.proposal_matchers = [matcher] * 3
        heads.box_heads, heads.box_predictors = [head] * 3, [predictor] * 3

    return change


def with_points(model) -> None:
    heads = model_zoo.get_config("common/models/cpm_rcnn_fpn.py").model.roi_heads
    heads.num_classes = CLASSES
    heads.box_head = heads.resampling_scoring.head = model.roi_heads.box_head
    heads.box_predictor.input_shape.channels = 32
    for stage in heads.grid_stages:
        stage.head.input_shape.channels, stage.head.point_channels = 64, 4
        stage.head.num_convs = 1
    heads.iou_scoring.input_shape.channels, heads.iou_scoring.fc_dims = 36, [8]
    model.roi_heads = heads


def photo() -> dict:
    generator = np.random.default_rng(0)
    image = torch.from_numpy(generator.integers(0, 255, (3, 96, 128), dtype=np.uint8))
    return {"image": image, "height": 96, "width": 128}


def assert_same(found: Instances, expected: Instances) -> None:
    assert len(expected) > 3
    assert found.image_size == expected.image_size
    assert found.get_fields().keys() == expected.get_fields().keys()
    assert torch.allclose(found.pred_boxes.tensor, expected.pred_boxes.tensor, atol=1e-3)
    assert torch.allclose(found.scores, expected.scores, atol=1e-5)
    assert torch.equal(found.pred_classes, expected.pred_classes)
    if expected.has("pred_masks"):
        assert expected.pred_masks.any()
        assert torch.equal(found.pred_masks, expected.pred_masks)


@pytest.mark.parametrize(
    ("change", "iou"),
    [
        (None, 0.5),
        (with_masks, 0.5),
        (with_stages(CascadeROIHeads), 0.5),
        (with_stages(ResamplingCascadeROIHeads), 0.5),
        # The NMS of these heads is before their boxes are refined: to overlap is allowed after it.
        (with_points, 1.0),
    ],
)
def test_a_single_view_as_it_is_and_plain_nms_are_the_detector_itself(change, iou):
    model = tiny_detector(change)
    with torch.no_grad():
        expected = model([photo()])[0]["instances"]
    detector = wrapped(model, merge=NMSMerge(iou_threshold=iou), flip=False)
    assert_same(detector([photo()])[0]["instances"], expected)


@pytest.mark.parametrize("change", [None, with_masks])
def test_plain_nms_of_views_one_by_one_is_detectron2s_augmentation(change):
    model = tiny_detector(change)
    cfg = get_cfg()
    cfg.MODEL.MASK_ON = model.roi_heads.mask_on
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = CLASSES
    views = AugmentedViews([(64, 80), (96, 200), (120, 160)])
    with torch.no_grad():
        theirs = GeneralizedRCNNWithTTA(cfg, model, views, batch_size=1)([photo()])
    merge = NMSMerge(cfg.MODEL.ROI_HEADS.NMS_THRESH_TEST, score_threshold=1e-8)
    ours = DetectorWithTTA(model, views, merge, batch_size=1)([photo()])
    assert_same(ours[0]["instances"], theirs[0]["instances"])


def test_detections_do_not_depend_on_the_batch_size():
    model = tiny_detector(with_masks)
    sizes = [(64, 80), (96, 200), (120, 160)]
    one, many = (wrapped(model, sizes, batch_size=size)([photo()])[0] for size in (1, 8))
    assert_same(many["instances"], one["instances"])


def test_the_heads_are_as_before_and_in_the_same_mode():
    model = tiny_detector(with_masks).train()
    detector = DetectorWithTTA(model, AugmentedViews([AS_IT_IS]), SoftNMSMerge())
    assert detector.training and model.training
    detector.eval()([photo()])
    assert model.roi_heads.mask_on
    empty = wrapped(model, merge=SoftNMSMerge(score_threshold=0.999))([photo()])[0]["instances"]
    assert empty.pred_masks.shape == (0, 96, 128)


def proposals(size: tuple[int, int]) -> Instances:
    boxes = torch.tensor([[5.0, 5, 60, 50], [30, 20, 100, 90], [0, 0, 128, 96], [90, 10, 120, 40]])
    scale = torch.tensor([size[1] / 128, size[0] / 96]).repeat(2)
    logits = torch.tensor([3.0, 2, 1, 0])
    return Instances(size, proposal_boxes=Boxes(boxes * scale), objectness_logits=logits)


@pytest.mark.parametrize("size", [(96, 128), (48, 256)])
def test_precomputed_proposals_are_those_of_the_view(size):
    record = photo() | {"proposals": proposals((96, 128))}
    record["height"], record["width"] = size  # of a file that was scaled to the image
    plain, mirrored, small, _ = AugmentedViews([AS_IT_IS, (48, 1000)])(record)
    given = record["proposals"].proposal_boxes.tensor
    assert torch.allclose(given, proposals((96, 128)).proposal_boxes.tensor)
    assert torch.allclose(plain["proposals"].proposal_boxes.tensor, given, atol=1e-4)
    assert torch.allclose(small["proposals"].proposal_boxes.tensor, given / 2, atol=1e-4)
    assert small["proposals"].image_size == (48, 64)
    x1, _, x2, _ = given.unbind(1)
    expected = torch.stack((128 - x2, 128 - x1))
    assert torch.allclose(mirrored["proposals"].proposal_boxes.tensor[:, 0::2].T, expected)
    assert torch.equal(mirrored["proposals"].objectness_logits, torch.tensor([3.0, 2, 1, 0]))


def test_a_detector_on_precomputed_proposals():
    def without_generator(model) -> None:
        model.proposal_generator = None

    model = tiny_detector(without_generator)
    record = photo() | {"proposals": proposals((96, 128))}
    with torch.no_grad():
        expected = model([record])[0]["instances"]
    detector = wrapped(model, merge=NMSMerge(), flip=False)
    assert_same(detector([record])[0]["instances"], expected)
    assert len(wrapped(model, [(64, 80), (120, 160)])([record])[0]["instances"]) > 3


@pytest.mark.parametrize(
    ("name", "kind"),
    [("tiny_rpn", "ProposalNetwork"), ("tiny_guided_anchor_retinanet", "GuidedAnchorRetinaNet")],
)
def test_models_without_roi_heads_are_refused(name, kind):
    model = model_zoo.get(tiny_config_file(name), device="cpu")
    with pytest.raises(ValueError, match=f"not what a {kind} predicts: evaluate this model"):
        wrapped(model)


def test_keypoints_are_refused():
    model = PixelDetector()
    model.roi_heads.keypoint_on = True
    with pytest.raises(ValueError, match="does not know which keypoints change sides"):
        wrapped(model)


@pytest.mark.parametrize(
    "sizes", [[(800, 0)], [(-1, 1333)], [(800.5, 1333)], [(800,)], [(True, 9)]]
)
def test_sizes_that_cannot_be(sizes):
    with pytest.raises(ValueError, match=r"such as \(800, 1333\), not \("):
        AugmentedViews(sizes)


def test_no_views_and_no_batches():
    with pytest.raises(ValueError, match="at least one size"):
        AugmentedViews([])
    with pytest.raises(ValueError, match="batch_size must be a positive integer, not 0"):
        wrapped(PixelDetector(), batch_size=0)
