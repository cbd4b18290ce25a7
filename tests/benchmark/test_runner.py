"""The order of the measurements, and plans that do not work."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from cascade_rpn_d2.benchmark import Plan, Row, run, runner
from cascade_rpn_d2.benchmark.runner import cases_of
from tests.benchmark.cases import ONE_PAIR, TINY

DEMO = {"cascade_rpn": "demo/cascade_rpn.py", "rpn": "demo/rpn.py"}


def test_modes_leave_out_cases_that_differ_in_nothing_of_theirs():
    cases = [
        replace(TINY, boxes=boxes, layout=layout)
        for boxes in ("trained", "spread")
        for layout in ("contiguous", "channels-last")
    ]
    assert cases_of("op", cases) == cases
    assert [case.layout for case in cases_of("head", cases)] == ["contiguous", "channels-last"]
    assert len(cases_of("backbone", cases)) == 2
    assert cases_of("end-to-end", cases) == [replace(TINY, boxes=None, layout=None)]


def test_rows_stand_by_mode_with_those_of_missing_targets_last(monkeypatch):
    threads = []

    def rows_of(mode, case, budget, plan):
        threads.append((case.threads, torch.get_num_threads()))
        assert budget == ONE_PAIR
        yield Row(mode, "quantity", case, ratio=1.0)

    monkeypatch.setattr(runner, "rows_of", rows_of)
    told: list[Row] = []
    cases = [TINY, replace(TINY, threads=2)]
    plan = Plan(["op", "head"], cases, ONE_PAIR, **DEMO, detectors=["demo/rpn.py"])
    rows = run(plan, told.append)
    assert threads == [(1, 1), (2, 2)] * 2 and torch.get_num_threads() == 1
    assert [row.mode for row in told] == ["op", "op", "head", "head"]
    assert [row for row in rows if row.ratio is not None] == told
    modes = [row.mode for row in rows]
    assert modes == sorted(modes, reverse=True)  # op, then head
    assert rows[0] == told[0] and rows[-1].case is None


def test_a_gpu_warms_up_longer():
    on_gpu = replace(TINY, device="cuda")
    assert runner._warmer(ONE_PAIR, on_gpu).warmup == 3
    assert runner._warmer(ONE_PAIR, TINY) == ONE_PAIR


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"detectors": ["demo/rnp.py"]}, "did you mean"),
        ({"rpn": "cascade_rpn/rpn_r50_fpn_1x.py"}, "64 channels"),
        ({"ga_rpn": "demo/ga_rnp.py"}, "did you mean"),
        ({"backbone": "demo/rpn.py"}, "has no backbone with deformable blocks"),
        ({"cases": [replace(TINY, device="cuda:77")]}, "'cuda:77' cannot be used here"),
    ],
)
def test_a_bad_plan_fails_before_anything_is_measured(monkeypatch, changes, message):
    monkeypatch.setattr(runner, "rows_of", lambda *args: pytest.fail("measured"))
    plan = Plan(**{"modes": ["head"], "cases": [TINY], **DEMO, **changes})
    with pytest.raises(ValueError, match=message):
        run(plan)
