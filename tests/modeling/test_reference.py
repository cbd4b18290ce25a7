"""Converted weights against recorded outputs of mmdet 3.3.0 on seeded weights and images."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from detectron2.structures import Boxes, ImageList, Instances
from detectron2.utils.events import EventStorage
from omegaconf import OmegaConf
from torch import Tensor, nn

from cascade_rpn_d2.checkpoint import convert_state
from cascade_rpn_d2.model_zoo import get_config, instantiate_model
from cascade_rpn_d2.modeling import LocationLoss, RegionAssigner, SigmoidFocalLoss
from tests.modeling.same_boxes import assert_same_boxes

CASCADE_LOSSES = {
    "s0.loss_rpn_reg": "loss_rpn_stage1_loc",
    "s1.loss_rpn_reg": "loss_rpn_stage2_loc",
    "s1.loss_rpn_cls": "loss_rpn_stage2_cls",
}


class Counterpart(NamedTuple):
    """Of a recorded model: our config, what in its generator chooses samples, our losses by the
    names of the recorded ones, and whether the model takes RGB."""

    config: str
    samples: str
    losses: dict[str, str]
    rgb: bool = False


COUNTERPARTS = {
    "crpn.pt": Counterpart(
        "cascade_rpn/cascade_rpn_r50_fpn_1x.py", "stages[1].sampler", CASCADE_LOSSES
    ),
    "crpn_faster.pt": Counterpart(
        "cascade_rpn/cascade_rpn_faster_rcnn_r50_fpn_1x.py", "stages[1].sampler", CASCADE_LOSSES
    ),
    # Not the loss of locations, whose labels the reference exchanges. Positives among its shapes
    # are fewer than are sampled, and negatives only count, so nothing is random there either.
    "ga_rpn.pt": Counterpart(
        "guided_anchoring/ga_rpn_r50_fpn_1x.py",
        "refinement.sampler",
        {
            "loss_rpn_cls": "loss_rpn_cls",
            "loss_rpn_bbox": "loss_rpn_loc",
            "loss_anchor_shape": "loss_rpn_anchor_shape",
        },
    ),
    "grid.pt": Counterpart(
        "grid_rcnn/grid_rcnn_r50_fpn_2x.py",
        "refinement.sampler",
        {"loss_rpn_cls": "loss_rpn_cls", "loss_rpn_bbox": "loss_rpn_loc"},
        rgb=True,
    ),
}
# Of this many anchors each, so that all are.
SAMPLES = 10**6


class Recording(NamedTuple):
    """A model with the weights of a recorded one, and what that one did."""

    model: nn.Module
    cases: list[dict]
    losses: dict[str, str]
    rgb: bool


@pytest.fixture(scope="module")
def seeded(shared_dir: Path):
    spec = importlib.util.spec_from_file_location("seeded", shared_dir / "reference/seeded.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module", params=COUNTERPARTS)
def recording(request, shared_dir: Path, seeded) -> Recording:
    reference = torch.load(shared_dir / "reference" / request.param, weights_only=True)
    ours = COUNTERPARTS[request.param]
    config = get_config(ours.config)
    generator = config.model.proposal_generator
    # The recorded losses take every positive and every negative, so that nothing is random.
    OmegaConf.update(generator, f"{ours.samples}.batch_size_per_image", SAMPLES)
    generator.propose_in_training = False
    generator.propose_in_padding = True  # as the reference has it
    model = instantiate_model(config)
    weights = seeded.make_weights(reference["shapes"], reference["stem_gain"])
    model.load_state_dict(convert_state(weights, model).state)
    return Recording(model, reference["cases"], ours.losses, ours.rgb)


def inputs(recording: Recording, sizes: list, seeded) -> list[dict]:
    batch = []
    for height, width, seed in sizes:
        truth = Instances((height, width))
        boxes, classes = seeded.make_gt(height, width, seed, 14)
        truth.gt_boxes, truth.gt_classes = Boxes(boxes), classes
        image = seeded.make_image(height, width, seed)
        if recording.rgb:
            image = image.flip(0)
        batch.append({"image": image, "height": height, "width": width, "instances": truth})
    return batch


def preprocess(model: nn.Module, batch: list[dict]) -> ImageList:
    images = [(x["image"] - model.pixel_mean) / model.pixel_std for x in batch]
    return ImageList.from_tensors(images, model.backbone.size_divisibility)


@torch.no_grad()
def propose(model: nn.Module, batch: list[dict]) -> list[Instances]:
    images = preprocess(model, batch)
    return model.proposal_generator(images, model.backbone(images.tensor))[0]


@torch.no_grad()
def losses_of(model: nn.Module, batch: list[dict]) -> dict[str, Tensor]:
    """The losses of the proposal generator, means over what is sampled."""
    images = preprocess(model, batch)
    truth = [x["instances"] for x in batch]
    with EventStorage():
        return model.proposal_generator(images, model.backbone(images.tensor), truth)[1]


def assert_proposals(found: Instances, expected: dict) -> None:
    boxes, scores = found.proposal_boxes.tensor, found.objectness_logits.sigmoid()
    if "proposals" in expected:
        assert_same_boxes(boxes, scores, expected["proposals"], expected["objectness"])
    else:
        assert_same_boxes(boxes, scores, expected["boxes"], expected["scores"])


def assert_detections(found: Instances, expected: dict) -> None:
    boxes, scores = found.pred_boxes.tensor, found.scores
    # The reference leaves grid points outside the image.
    inside = Boxes(expected["boxes"].clone())
    inside.clip(found.image_size)
    assert_same_boxes(boxes, scores, inside.tensor, expected["scores"])
    assert torch.equal(found.pred_classes, expected["labels"])


def test_feature_maps(recording, seeded):
    model = recording.model.eval()
    for case in recording.cases:
        with torch.no_grad():
            images = preprocess(model, inputs(recording, case["sizes"], seeded))
            maps = model.backbone(images.tensor).values()
        for x, expected in zip(maps, case["fpn"], strict=True):
            found = torch.stack((x.mean(), x.std()))
            torch.testing.assert_close(found, torch.tensor(expected), atol=1e-5, rtol=1e-4)


def test_proposals(recording, seeded):
    model = recording.model.eval()
    for case in recording.cases:
        found = propose(model, inputs(recording, case["sizes"], seeded))
        for proposals, expected in zip(found, case["images"], strict=True):
            assert_proposals(proposals, expected)


def test_outputs(recording, seeded):
    """Of the whole model as a user calls it: detections, or proposals."""
    model = recording.model.eval()
    for case in recording.cases:
        with torch.no_grad():
            outputs = model(inputs(recording, case["sizes"], seeded))
        for output, expected in zip(outputs, case["images"], strict=True):
            if "proposals" in expected:
                assert_detections(output["instances"], expected)
            else:
                assert_proposals(output["proposals"], expected)


def test_losses(recording, seeded):
    model = recording.model.train()
    for case in recording.cases:
        losses = losses_of(model, inputs(recording, case["sizes"], seeded))
        for name, key in recording.losses.items():
            expected = torch.as_tensor(case["losses"][name]).sum()
            torch.testing.assert_close(losses[key], expected, rtol=1e-4, atol=0)


@pytest.mark.parametrize("recording", ["ga_rpn.pt"], indirect=True)
def test_locations_are_learned_where_the_reference_learns_the_opposite(
    recording, seeded, monkeypatch
):
    """The recorded loss is ours with its rules for overlaps and borders, and labels exchanged."""
    focal = SigmoidFocalLoss()
    as_recorded = LocationLoss(
        assigner=RegionAssigner(adjacent="negatives", overlap="last", keep_border=False),
        loss=lambda logits, labels: focal(logits, 1 - labels),
    )
    model = recording.model.train()
    monkeypatch.setattr(model.proposal_generator, "location_loss", as_recorded)
    for case in recording.cases:
        found = losses_of(model, inputs(recording, case["sizes"], seeded))["loss_rpn_anchor_loc"]
        expected = torch.as_tensor(case["losses"]["loss_anchor_loc"]).sum()
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=0)


@pytest.mark.parametrize("recording", ["grid.pt"], indirect=True)
def test_boxes_from_grid_points_are_equal_before_they_are_clipped(recording, seeded):
    model = recording.model.eval()
    heads = model.roi_heads
    for case in recording.cases:
        images = preprocess(model, inputs(recording, case["sizes"], seeded))
        with torch.no_grad():
            features = model.backbone(images.tensor)
            candidates = heads.candidates(features, model.proposal_generator(images, features)[0])
            boxes = [x.pred_boxes for x in candidates]
            (step,) = heads.steps(features, boxes, images.image_sizes)
        refined = step.refined.split([len(x) for x in boxes])
        for image, found, expected in zip(candidates, refined, case["images"], strict=True):
            assert found.min() < 0
            assert_same_boxes(found, image.scores, expected["boxes"], expected["scores"])


@pytest.mark.slow
def test_a_smaller_image_beside_it_changes_nothing(recording, seeded):
    model = recording.model.eval()
    (case,) = recording.cases
    (height, width, seed), smaller = case["sizes"][0], (256, 352, 12)
    for order in (1, -1):
        batch = inputs(recording, [(height, width, seed), smaller][::order], seeded)
        with torch.no_grad():
            outputs = model(batch)[::order]
        (expected,) = case["images"]
        if "proposals" in expected:
            assert_detections(outputs[0]["instances"], expected)
            boxes = outputs[1]["instances"].pred_boxes.tensor
        else:
            assert_proposals(outputs[0]["proposals"], expected)
            boxes = outputs[1]["proposals"].proposal_boxes.tensor
        # Cells of its padding give boxes too; what is left of those is inside the image.
        assert len(boxes) and (boxes >= 0).all()
        assert boxes[:, 0::2].max() <= smaller[1] and boxes[:, 1::2].max() <= smaller[0]


@pytest.mark.slow
def test_what_is_found_in_padding_depends_on_the_canvas_alone(recording, seeded):
    model = recording.model.eval()
    (height, width, seed) = recording.cases[0]["sizes"][0]
    small = (256, 352, 12)
    one, other = (
        propose(model, inputs(recording, [small, (height, width, s)], seeded))[0]
        for s in (seed, seed + 1)
    )
    scores = [x.objectness_logits.sigmoid() for x in (one, other)]
    assert_same_boxes(one.proposal_boxes.tensor, scores[0], other.proposal_boxes.tensor, scores[1])
