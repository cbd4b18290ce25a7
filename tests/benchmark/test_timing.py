"""Pairs: their order, their number and what becomes of their times."""

from __future__ import annotations

import time

import pytest
import torch

from cascade_rpn_d2.benchmark import Budget, PairTimes, time_pairs

CPU = torch.device("cpu")


def sleep(milliseconds: float):
    return lambda: time.sleep(milliseconds / 1e3)


def test_a_function_takes_as_long_as_itself():
    part = sleep(10)
    outcome = time_pairs([part], [part], device=CPU, budget=Budget(7, 7)).total()
    assert outcome.ratio == pytest.approx(1.0, abs=0.25)
    low, high = outcome.quartiles
    assert low <= outcome.ratio <= high and outcome.pairs == 7


def test_the_ratio_of_two_sleeps_and_their_times():
    outcome = time_pairs([sleep(30)], [sleep(10)], device=CPU, budget=Budget(5, 5)).total()
    assert outcome.ratio == pytest.approx(3.0, rel=0.25)
    assert outcome.time_ms == pytest.approx(30, rel=0.3)
    assert outcome.reference_ms == pytest.approx(10, rel=0.3)


def test_pairs_alternate_their_order_after_the_warm_up():
    calls = []
    budget = Budget(min_pairs=3, max_pairs=3, warmup=1)
    time_pairs(
        [lambda: calls.append("a"), lambda: calls.append("b")],
        [lambda: calls.append("r")],
        device=CPU,
        budget=budget,
    )
    assert "".join(calls) == "abr" + "abr" + "rab" + "abr"


@pytest.mark.parametrize(
    ("budget", "pairs"),
    [
        (Budget(min_pairs=4, max_pairs=90, seconds=0.0), 4),
        (Budget(min_pairs=1, max_pairs=6, seconds=60.0), 6),
    ],
)
def test_the_budget_bounds_the_pairs(budget, pairs):
    part = sleep(0.01)
    assert time_pairs([part], [part], device=CPU, budget=budget).total().pairs == pairs


def test_seconds_end_the_pairs_early():
    budget = Budget(min_pairs=1, max_pairs=1000, seconds=0.05, warmup=0)
    assert time_pairs([sleep(5)], [sleep(5)], device=CPU, budget=budget).total().pairs < 10


def test_ratios_are_taken_pair_by_pair():
    # The machine is ten times slower in the last pair: the ratio of the sums would be 2.8.
    times = PairTimes([[1.0, 1.0], [1.0, 1.0], [30.0, 30.0]], [[0.5, 1.0], [1.0, 0.5], [10, 10]])
    assert times.total().ratio == pytest.approx(4 / 3)
    assert times.part(0).ratio == pytest.approx(2.0)
    assert times.part(0).quartiles == pytest.approx((1.5, 2.5))
    assert times.total().time_ms == pytest.approx(2e3)


def test_a_budget_without_pairs_is_refused():
    with pytest.raises(ValueError, match="min_pairs <= max_pairs, not 5 and 2"):
        Budget(min_pairs=5, max_pairs=2)


@pytest.mark.gpu
def test_a_gpu_is_timed_by_its_own_clock():
    x = torch.randn(2048, 2048, device="cuda")
    part = lambda: x @ x  # noqa: E731
    device = torch.device("cuda")
    outcome = time_pairs([part, part], [part], device=device, budget=Budget(9, 9, warmup=3))
    assert outcome.total().ratio == pytest.approx(2.0, rel=0.3)
