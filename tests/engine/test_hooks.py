from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from cascade_rpn_d2.engine.hooks import BestCheckpointer, MovingAverage


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


def test_the_best_metric_survives_a_resume(model):
    saved = []
    writer = SimpleNamespace(save=lambda name, **_: saved.append(name))

    def hook_after(metric: float, state: dict | None) -> BestCheckpointer:
        hook = BestCheckpointer(1, writer, "bbox/AP", "max")
        if state:
            hook.load_state_dict(state)
        latest = {"bbox/AP": (metric, 4)}
        storage = SimpleNamespace(latest=lambda: latest)
        hook.trainer = SimpleNamespace(iter=3, max_iter=9, storage=storage)
        hook.after_step()
        return hook

    state = hook_after(30.0, None).state_dict()
    hook_after(20.0, state)
    assert saved == ["model_best"]
    hook_after(31.0, state)
    assert saved == ["model_best"] * 2
