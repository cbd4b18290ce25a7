"""Whole detectors: what is done to their random weights, and their rows."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from cascade_rpn_d2.benchmark import end_to_end
from cascade_rpn_d2.benchmark.end_to_end import (
    TORCHVISION,
    end_to_end_rows,
    random_images,
    settle_norms,
    spread_scores,
    torchvision_detector,
    zoo_detector,
)
from tests.benchmark.cases import ONE_PAIR, TINY

CASE = replace(TINY, layout=None, boxes=None)


def test_norms_get_the_statistics_of_what_they_meet():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, affine=False)).eval()
    images = random_images(replace(CASE, batch=2))
    assert images.shape == (2, 3, 64, 96) and 0 <= images.min() and 250 < images.max() <= 255
    settle_norms(model, lambda: model(images))
    output = model(images)
    torch.testing.assert_close(output.mean((0, 2, 3)), torch.zeros(4), atol=1e-3, rtol=0)
    torch.testing.assert_close(output.std((0, 2, 3)), torch.ones(4), atol=1e-3, rtol=0)
    assert not model[1]._forward_pre_hooks


def test_rows_are_images_per_second_against_the_first(monkeypatch):
    stand_in = nn.Conv2d(3, 3, 3)
    monkeypatch.setattr(
        end_to_end, "torchvision_detector", lambda images, case: lambda: stand_in(images)
    )
    case = replace(TINY, batch=2)
    rows = list(end_to_end_rows(case, ONE_PAIR, ["demo/rpn.py", "demo/cascade_rpn.py"]))
    names = ("rpn", "cascade_rpn", TORCHVISION)
    assert [row.quantity for row in rows] == [f"time of {n} / time of rpn" for n in names]
    for row in rows:
        assert row.ratio == pytest.approx(row.reference / row.value)
        assert row.unit == "images/s" and row.case == replace(CASE, batch=2)
        assert row.target is None


@torch.no_grad()
def test_a_detector_of_the_zoo_detects_on_the_images(repository):
    name = str(repository / "tests/tiny_configs/tiny_faster_rcnn.py")
    run = zoo_detector(name, random_images(CASE), CASE)
    (output,) = run()
    assert output["instances"].image_size == (64, 96)
    assert run.model.roi_heads.box_predictor.test_score_thresh == end_to_end.MIN_SCORE


@torch.no_grad()
def test_classifiers_tell_classes_apart():
    layer, features = nn.Linear(8, 5), torch.rand(200, 8)
    spread_scores(layer, lambda: layer(features))
    logits = layer(features)
    torch.testing.assert_close(logits.mean(0), torch.zeros(5), atol=1e-4, rtol=0)
    torch.testing.assert_close(logits.std(0), torch.full((5,), 4.0), atol=1e-3, rtol=0)
    assert not layer._forward_hooks


@torch.no_grad()
def test_a_detector_has_boxes_to_suppress_and_to_refine(repository):
    name = str(repository / "tests/tiny_configs/tiny_faster_rcnn.py")
    (output,) = zoo_detector(name, random_images(CASE), CASE)()
    assert len(output["instances"]) > 20
    assert len(output["instances"].pred_classes.unique()) > 5


@torch.no_grad()
def test_torchvisions_detector_takes_the_images_as_they_are():
    (output,) = torchvision_detector(random_images(CASE), CASE)()
    assert set(output) == {"boxes", "labels", "scores"}
