"""How many cells of an image have anchors, as evaluations report it."""

from __future__ import annotations

import json
import logging

import pytest
from detectron2.config import LazyCall as L
from detectron2.config import instantiate
from torch import nn

from cascade_rpn_d2.engine import activity, evaluate, train
from cascade_rpn_d2.engine.activity import activity_results, reset_activity
from cascade_rpn_d2.modeling import (
    BoxCoder,
    GuidedAnchorHead,
    GuidedAnchorRPN,
    IoUAssigner,
    LocationLoss,
    RandomSampler,
    Refinement,
    RegionAssigner,
    SmoothL1Loss,
)
from cascade_rpn_d2.modeling.guided_anchors import Activity


def counting(*batches: tuple[list[int], list[int]]) -> nn.Module:
    """A module that has counted batches of active cells, and of cells."""
    module = nn.Identity()
    module.activity = Activity()
    for batch in batches:
        module.activity.update(*batch)
    return module


def guided(config, threshold: float) -> None:
    """Gives the tiny model a location branch."""
    config.model.proposal_generator = L(GuidedAnchorRPN)(
        in_features=["res2"],
        anchor_generator=config.model.proposal_generator.anchor_generator,
        head=L(GuidedAnchorHead)(in_channels=16, shape="none"),
        refinement=L(Refinement)(
            box_coder=L(BoxCoder)(stds=[1.0] * 4),
            assigner=L(IoUAssigner)(),
            sampler=L(RandomSampler)(),
            box_loss=L(SmoothL1Loss)(beta=1.0),
        ),
        location_loss=L(LocationLoss)(assigner=L(RegionAssigner)()),
        location_threshold=threshold,
        pre_nms_topk=(50, 50),
        post_nms_topk=(20, 20),
    )


def test_the_mean_is_over_images_and_the_share_over_cells():
    model = nn.Sequential(nn.Identity(), counting(([10, 20], [100, 100]), ([0], [300])))
    assert activity_results(model) == {
        "anchors": {"active_per_image": 10.0, "active_share": pytest.approx(6.0)}
    }
    reset_activity(model)
    assert activity_results(model) == {}


def test_modules_of_one_model_count_together():
    model = nn.Sequential(counting(([10], [100])), counting(([20], [50])), counting())
    assert activity_results(model)["anchors"] == {
        "active_per_image": 30.0,
        "active_share": pytest.approx(20.0),
    }


def test_only_models_that_count_have_a_result():
    other = nn.Identity()
    other.activity = "swimming"
    assert activity_results(nn.Sequential(nn.Identity(), other)) == {}


def test_the_images_of_all_processes_count(monkeypatch, caplog):
    # Of two processes that count nothing, five images, and one image.
    def all_gather(own):
        return [[(0, 0, 0)], [(5, 500, 100)], own]

    monkeypatch.setattr(activity.comm, "all_gather", all_gather)
    with caplog.at_level(logging.INFO, activity.__name__):
        found = activity_results(counting(([80], [100])))
    assert found["anchors"] == {"active_per_image": 30.0, "active_share": pytest.approx(30.0)}
    assert caplog.messages == ["30 of 100 cells an image had anchors (30.0 %)."]


def test_an_evaluation_counts_its_own_images_only(tiny_config, tmp_path):
    config = tiny_config("out")
    (tmp_path / "out").mkdir()
    guided(config, threshold=0.0)
    model = instantiate(config.model)
    first, again = evaluate(config, model), evaluate(config, model)
    assert first["anchors"]["active_share"] == 100.0
    assert again["anchors"] == first["anchors"]
    # Whatever training or another evaluation has left does not count.
    model.proposal_generator.location_threshold = 1.0
    assert evaluate(config, model)["anchors"] == {"active_per_image": 0.0, "active_share": 0.0}
    written = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert written["anchors"] == {"active_per_image": 0.0, "active_share": 0.0}


def test_a_run_keeps_the_counts_beside_the_other_metrics(tiny_config, tmp_path):
    config = tiny_config("out", "train.max_iter=2", "train.ema.enabled=true")
    guided(config, threshold=0.0)
    results = train(config)
    out = tmp_path / "out"
    assert set(results) == {"box_proposals", "anchors"}
    assert json.loads((out / "evaluation_final.json").read_text())["anchors"] == results["anchors"]
    lines = [json.loads(line) for line in (out / "metrics.json").read_text().splitlines()]
    assert lines[-1]["anchors/active_share"] == 100.0
    assert lines[-1]["anchors/active_per_image"] == results["anchors"]["active_per_image"] > 0
    assert (out / "model_best.pth").is_file()
    log = (out / "log.txt").read_text()
    assert "cells an image had anchors (100.0 %)" in log and "| anchors |" in log
