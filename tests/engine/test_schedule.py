from __future__ import annotations

import pytest
import torch
from detectron2.solver import LRMultiplier

from cascade_rpn_d2.engine.schedule import step_schedule

RECIPE = {"milestones": [58_640, 80_630], "length": 87_960}


def factors(max_iter: int, iterations: list[int], **options) -> list[float]:
    schedule = step_schedule(max_iter, **(RECIPE | options))
    return [schedule(i / max_iter) for i in iterations]


def test_the_1x_schedule_of_the_papers():
    at = [0, 250, 500, 58_630, 58_650, 80_620, 80_640, 87_959]
    expected = [0.001, 0.5005, 1.0, 1.0, 0.1, 0.1, 0.01, 0.01]
    assert factors(87_960, at) == pytest.approx(expected, rel=1e-4)


def test_steps_scale_with_the_run_and_the_warm_up_does_not():
    at = [0, 250, 500, 39_990, 40_010, 54_990, 55_010]
    expected = [0.001, 0.5005, 1.0, 1.0, 0.1, 0.1, 0.01]
    assert factors(60_000, at) == pytest.approx(expected, rel=1e-4)


def test_a_run_shorter_than_the_warm_up_warms_up_until_its_first_step():
    found = factors(90, [0, 30, 59, 61, 89])
    assert found == pytest.approx([0.001, 0.5, 0.98, 0.1, 0.01], rel=0.02)


def test_it_drives_an_optimizer():
    parameter = torch.nn.Parameter(torch.zeros(()))
    optimizer = torch.optim.SGD([parameter], lr=2.0)
    scheduler = LRMultiplier(optimizer, step_schedule(6, warmup_iters=2, **RECIPE), max_iter=6)
    rates = []
    for _ in range(6):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates == pytest.approx([0.002, 1.001, 2.0, 2.0, 0.2, 0.2])


@pytest.mark.parametrize("milestones", [[0, 5], [5, 5], [6, 5], [5, 10]])
def test_milestones_that_do_not_rise_within_the_run_are_refused(milestones):
    with pytest.raises(ValueError, match="rising iterations between 0 and .* 10"):
        step_schedule(10, milestones=milestones, length=10)
