"""Weights for a fine-tuning: only the proposal generator is lost, and nothing that was learned."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.structures import Boxes, Instances
from torch import Tensor, nn

from cascade_rpn_d2 import model_zoo
from cascade_rpn_d2.checkpoint import Checkpointer
from cascade_rpn_d2.checkpoint.finetune import fast_rcnn_from_faster, prepare_finetuning
from cascade_rpn_d2.model_zoo import instantiate_model
from tests.engine.tiny_models import tiny_config_file

USUAL, HALVED = (10.0, 10.0, 5.0, 5.0), (20.0, 20.0, 10.0, 10.0)
REGRESSION = "roi_heads.box_predictor.bbox_pred"


def detector(weights: Sequence[float], *, generator: bool = False, classes: int = 3) -> nn.Module:
    """A tiny detector in evaluation mode, with regression weights."""
    config = model_zoo.get_config(tiny_config_file("tiny_faster_rcnn"))
    if not generator:
        config.model.proposal_generator = None
    config.model.roi_heads.num_classes = classes
    config.model.roi_heads.box_predictor.box2box_transform.weights = list(weights)
    return instantiate_model(config).eval()


@pytest.fixture
def trained() -> nn.Module:
    """A Faster R-CNN whose boxes move, as those of a trained one do."""
    model = detector(USUAL, generator=True)
    nn.init.normal_(model.roi_heads.box_predictor.bbox_pred.weight, std=0.3)
    nn.init.normal_(model.roi_heads.box_predictor.bbox_pred.bias, std=0.3)
    return model


def detections(model: nn.Module) -> Instances:
    """What a detector without its generator finds in an image with given proposals."""
    random = torch.Generator().manual_seed(1)
    corners = torch.rand(20, 2, generator=random) * 40
    sides = torch.rand(20, 2, generator=random) * 30 + 8
    given = Instances((64, 96))
    given.proposal_boxes = Boxes(torch.cat([corners, corners + sides], dim=1))
    given.objectness_logits = torch.zeros(20)
    image = torch.randint(0, 255, (3, 64, 96), generator=random).float()
    with torch.no_grad():
        return model([{"image": image, "proposals": given}])[0]["instances"]


def assert_same(found: Instances, expected: Instances) -> None:
    assert len(found) == len(expected) > 5
    assert torch.equal(found.pred_classes, expected.pred_classes)
    torch.testing.assert_close(found.scores, expected.scores)
    torch.testing.assert_close(found.pred_boxes.tensor, expected.pred_boxes.tensor)


@pytest.mark.parametrize("weights", [HALVED, USUAL, (25.0, 25.0, 12.5, 12.5), (1.0, 2.0, 3.0, 7.0)])
def test_detections_stay_the_same(trained: nn.Module, weights: tuple[float, ...]):
    kept = fast_rcnn_from_faster(trained.state_dict(), from_weights=USUAL, to_weights=weights)
    tuned = detector(weights)
    tuned.load_state_dict(kept)
    trained.proposal_generator = None
    before = detections(trained)
    assert_same(detections(tuned), before)
    # Those of a head of Detectron2's own, too.
    trained.roi_heads.box_predictor.box2box_transform = Box2BoxTransform(USUAL)
    assert_same(detections(trained), before)


def test_without_rescaling_they_would_not(trained: nn.Module):
    kept = fast_rcnn_from_faster(trained.state_dict(), from_weights=USUAL, to_weights=USUAL)
    tuned = detector(HALVED)
    tuned.load_state_dict(kept)
    trained.proposal_generator = None
    before, after = detections(trained).pred_boxes.tensor, detections(tuned).pred_boxes.tensor
    assert before.shape != after.shape or (before - after).abs().max() > 1


def test_only_the_generator_is_dropped_and_only_the_regression_changes(trained: nn.Module):
    state = trained.state_dict()
    before = {key: value.clone() for key, value in state.items()}
    kept = fast_rcnn_from_faster(state, from_weights=USUAL, to_weights=HALVED)
    assert set(state) - set(kept) == {k for k in state if k.startswith("proposal_generator.")}
    assert set(kept) == set(detector(HALVED).state_dict())
    for key, value in kept.items():
        factor = 2 if key.startswith(REGRESSION) else 1
        assert torch.equal(value, factor * before[key])
        assert torch.equal(state[key], before[key]), "the original is as it was"


def regression(rows: int) -> dict[str, Tensor]:
    return {f"{REGRESSION}.weight": torch.ones(rows, 3), f"{REGRESSION}.bias": torch.ones(rows)}


@pytest.mark.parametrize("classes", [1, 2])
def test_each_coordinate_has_its_own_factor(classes: int):
    kept = fast_rcnn_from_faster(
        regression(4 * classes), from_weights=(10, 10, 5, 5), to_weights=(20, 30, 20, 2.5)
    )
    factors = torch.tensor([2.0, 3, 4, 0.5] * classes)
    assert torch.equal(kept[f"{REGRESSION}.bias"], factors)
    assert torch.equal(kept[f"{REGRESSION}.weight"], factors[:, None].expand(-1, 3))


def test_half_precision_becomes_single():
    state = {key: value.half() for key, value in regression(4).items()}
    kept = fast_rcnn_from_faster(state, from_weights=USUAL, to_weights=(30, 30, 15, 15))
    assert all(value.dtype == torch.float32 and (value == 3).all() for value in kept.values())


def test_other_detectors_are_refused():
    stages = {f"roi_heads.box_predictor.{i}.bbox_pred.bias": torch.ones(4) for i in range(3)}
    for state, message in (
        (stages, "it has 'roi_heads.box_predictor.0.bbox_pred.bias' of Cascade R-CNN"),
        ({"head.bbox_pred.bias": torch.ones(4)}, f"it has no '{REGRESSION}.weight': give a Faster"),
    ):
        with pytest.raises(ValueError, match=message):
            fast_rcnn_from_faster(state, from_weights=USUAL, to_weights=HALVED)


@pytest.mark.parametrize("weights", [(10, 10, 5), (10, 10, 5, 0), (10, 10, 5, -5)])
def test_weights_are_four_positive_numbers(weights: tuple[float, ...]):
    with pytest.raises(ValueError, match="must be four positive numbers"):
        fast_rcnn_from_faster(regression(4), from_weights=USUAL, to_weights=weights)
    with pytest.raises(ValueError, match="must be four positive numbers"):
        fast_rcnn_from_faster(regression(4), from_weights=weights, to_weights=USUAL)


def zoo_file(model: nn.Module, folder: Path, **further: Tensor) -> str:
    """A checkpoint as Detectron2's zoo has them: a pickle of arrays, with what was stored then."""
    anchors = {"proposal_generator.anchor_generator.cell_anchors.0": torch.ones(3, 4)}
    state = {k: v.numpy() for k, v in (model.state_dict() | anchors | further).items()}
    file = folder / "model_final_b275ba.pkl"
    file.write_bytes(pickle.dumps({"model": state, "__author__": "Detectron2 Model Zoo"}))
    return str(file)


def test_a_checkpoint_of_detectron2_is_prepared(
    trained: nn.Module, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO", "cascade_rpn_d2")
    source, target = zoo_file(trained, tmp_path), tmp_path / "detector.pth"
    prepare_finetuning(source, target, detector(HALVED), from_weights=USUAL, to_weights=HALVED)
    (line,) = caplog.messages
    assert line.startswith(f"The 7 tensors of the proposal generator in {source} are dropped")
    tuned = detector(HALVED)
    Checkpointer(tuned).load(str(target))
    trained.proposal_generator = None
    assert_same(detections(tuned), detections(trained))


def test_another_network_is_refused_and_nothing_written(trained: nn.Module, tmp_path: Path):
    source, target = zoo_file(trained, tmp_path), tmp_path / "detector.pth"
    for model, message in (
        (detector(HALVED, classes=5), r"cls_score.weight \(4, 32\) instead of \(6, 32\)"),
        (nn.Linear(2, 2), "is of another model"),
    ):
        with pytest.raises(ValueError, match=message):
            prepare_finetuning(source, target, model, from_weights=USUAL, to_weights=HALVED)
    Path(source).write_bytes(
        pickle.dumps({"model": {"a": torch.ones(1).numpy()}, "__author__": "?"})
    )
    with pytest.raises(
        ValueError, match=r"Checkpoint .*b275ba\.pkl cannot be fine-tuned: it has no"
    ):
        prepare_finetuning(source, target, detector(HALVED), from_weights=USUAL, to_weights=HALVED)
    assert not target.exists()


def test_another_pixel_mean_is_said(
    trained: nn.Module, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    own = {"pixel_mean": trained.pixel_mean, "pixel_std": torch.ones(3, 1, 1)}
    source = zoo_file(trained, tmp_path, **own)
    prepare_finetuning(
        source, tmp_path / "d.pth", detector(HALVED), from_weights=USUAL, to_weights=HALVED
    )
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warnings == [f"{source}: It was trained with pixel_std 1 1 1; the config has 58 58 58."]
