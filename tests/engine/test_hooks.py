from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from cascade_rpn_d2.checkpoint import Checkpointer
from cascade_rpn_d2.engine.hooks import BestCheckpointer, MovingAverage, require_metric


@pytest.fixture
def model() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))


def test_an_update_averages_weights_and_statistics_and_copies_counters(model):
    hook = MovingAverage(model, 0.9)
    old = {key: value.clone() for key, value in hook.model.state_dict().items()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter))
    model(torch.randn(4, 1, 3, 3))
    hook.update(0.9)
    new = model.state_dict()
    for key, average in hook.model.state_dict().items():
        if key.endswith("num_batches_tracked"):
            assert average == new[key] == 1
        else:
            torch.testing.assert_close(average, 0.9 * old[key] + 0.1 * new[key])


def test_a_young_average_forgets_faster(model):
    hook = MovingAverage(model, 0.5)
    decays = []
    hook.update = decays.append
    for iteration in (0, 1, 8, 1000):
        hook.trainer = SimpleNamespace(iter=iteration)
        hook.after_step()
    assert decays == [0.1, 2 / 11, 0.5, 0.5]


def test_the_averaged_model_is_for_evaluation_and_independent(model):
    hook = MovingAverage(model, 0.9)
    assert model.training and not hook.model.training
    assert not any(p.requires_grad for p in hook.model.parameters())
    with torch.no_grad():
        model[0].weight.fill_(3.0)
    assert not (hook.model[0].weight == 3.0).any()
    hook.restart()
    assert (hook.model[0].weight == 3.0).all()


@pytest.fixture
def look(model, tmp_path):
    """Lets a hook see one evaluation; returns the value in ``model_best.pth`` after it."""

    def call(value: float | None, start_iter: int = 3, mode: str = "max", done: int = 4) -> float:
        checkpointer = Checkpointer(model, str(tmp_path), tag_last=False)
        hook = BestCheckpointer(checkpointer, 2, "bbox/AP", mode)
        latest = {} if value is None else {"bbox/AP": (value, done - 1)}
        storage = SimpleNamespace()
        hook.trainer = SimpleNamespace(
            iter=done - 1, start_iter=start_iter, max_iter=9, storage=storage
        )
        storage.latest = dict  # there has been none when a training begins
        hook.before_train()
        storage.latest = lambda: latest
        hook.after_step()
        path = tmp_path / "model_best.pth"
        return torch.load(path)["value"] if path.exists() else None

    return call


def test_the_best_evaluation_is_kept_when_the_run_is_resumed(look):
    assert [look(v) for v in (30.0, 20.0, math.nan, None, 31.0)] == [30.0, 30.0, 30.0, 30.0, 31.0]


def test_the_lowest_may_be_the_best(look):
    assert [look(v, mode="min") for v in (30.0, 31.0, 20.0)] == [30.0, 30.0, 20.0]


def test_a_new_run_does_not_know_the_best_of_another(look):
    assert [look(30.0), look(20.0, start_iter=0)] == [30.0, 20.0]


def test_only_iterations_that_were_evaluated_count(look):
    assert look(30.0, done=3) is None


def test_a_missing_metric_is_said(look, caplog):
    look(None)
    assert "bbox/AP has no value" in caplog.text


GIVEN = ("bbox/AP", "bbox/AP50", "bbox/AP75", "bbox/AP-person")


@pytest.mark.parametrize("metric", ["bbox/AP", "anchors/active_share", "total_loss", "loss_cls"])
def test_a_metric_that_there_will_be_is_taken(metric):
    require_metric(metric, GIVEN)


def test_a_metric_that_there_will_not_be_is_refused_with_the_nearest():
    require_metric("anything", None)
    with pytest.raises(ValueError, match=r"is 'bbox/AP5', which .*: set it to 'bbox/AP"):
        require_metric("bbox/AP5", GIVEN)
    with pytest.raises(ValueError, match=r"to 'bbox/AP', 'bbox/AP50' or 'bbox/AP75', or train"):
        require_metric("accuracy of it all", GIVEN)
