"""Rows and targets: which target a row has, whether it is met, and what has no row."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from cascade_rpn_d2.benchmark import TARGETS, Comparison, Row
from cascade_rpn_d2.benchmark.row import PYRAMID, missing_row, timed_row, unmet_demands
from cascade_rpn_d2.benchmark.targets import (
    BACKWARD_CONV,
    CASCADE_CONV,
    FORWARD_CONV,
    FORWARD_TORCHVISION,
    MEMORY,
    TRAIN_CONV,
    find_target,
)
from tests.benchmark.cases import TINY

OUTCOME = Comparison(1.25, (1.2, 1.4), 5.0, 4.0, 7)
ON_GPU = replace(TINY, device="cuda", threads=None)


@pytest.mark.parametrize(
    ("mode", "quantity", "case", "limit"),
    [
        ("op", FORWARD_CONV, TINY, 1.3),
        ("op", FORWARD_CONV, replace(TINY, threads=4), None),
        ("op", FORWARD_CONV, replace(TINY, dtype="bfloat16"), None),
        ("op", FORWARD_TORCHVISION, TINY, None),
        ("op", FORWARD_TORCHVISION, replace(TINY, threads=2), 0.2),
        ("op", BACKWARD_CONV, TINY, 1.8),
        ("op", MEMORY, TINY, 1.0),
        ("op", FORWARD_CONV, ON_GPU, None),
        ("op", FORWARD_CONV, replace(ON_GPU, dtype="float16"), 1.7),
        ("op", FORWARD_TORCHVISION, replace(ON_GPU, dtype="tf32"), 0.15),
        ("op", FORWARD_TORCHVISION, replace(ON_GPU, dtype="float16"), None),
        ("head", CASCADE_CONV, TINY, 3.0),
        ("head", CASCADE_CONV, replace(ON_GPU, dtype="bfloat16", device="cuda:1"), 3.0),
        ("train-step", TRAIN_CONV, TINY, 9.0),
    ],
)
def test_targets_are_asked_of_their_cases(mode, quantity, case, limit):
    found = find_target(mode, quantity, case)
    assert (found.limit if found else None) == limit


def test_no_two_targets_are_asked_of_the_same_row():
    for case in (TINY, ON_GPU):
        for dtype in ("float32", "tf32", "bfloat16", "float16"):
            for target in TARGETS:
                changed = replace(case, dtype=dtype)
                asked = [t for t in TARGETS if t.covers(target.mode, target.quantity, changed)]
                assert len(asked) <= 1


@pytest.mark.parametrize(("ratio", "met"), [(1.29, True), (1.3, True), (1.31, False)])
def test_a_target_is_met_up_to_its_limit(ratio, met):
    row = timed_row("op", FORWARD_CONV, TINY, replace(OUTCOME, ratio=ratio), PYRAMID)
    assert row.target == 1.3 and row.met is met


def test_without_a_target_or_a_measurement_nothing_is_met():
    assert timed_row("op", FORWARD_CONV, TINY, OUTCOME, "stride 4").met is None
    missing = missing_row("op", FORWARD_CONV, TINY, "no time", PYRAMID)
    assert missing.target == 1.3 and missing.met is None


def test_rows_survive_json():
    rows = [
        timed_row("op", FORWARD_CONV, TINY, OUTCOME, PYRAMID, cells=10, active=0.3),
        missing_row("head", CASCADE_CONV, replace(TINY, boxes=None), "no time"),
        *unmet_demands([], ["head"], ["cpu"]),
    ]
    for row in rows:
        values = json.loads(json.dumps(row.to_json()))
        assert Row.from_json(values) == row
        assert values["met"] == row.met


def test_targets_without_a_row_are_named_with_the_reason():
    rows = [timed_row("head", CASCADE_CONV, TINY, OUTCOME)]
    (missing,) = unmet_demands(rows, ["head"], ["cpu"])
    assert missing.target == 3.0 and missing.case is None
    assert "this run had no GPU" in missing.not_measured
    missing = unmet_demands(rows, ["op"], ["cpu"])
    assert len(missing) == sum(target.mode == "op" for target in TARGETS)
    reasons = {row.not_measured for row in missing}
    assert "this run had no such case (CPU, float32, 2 threads)" in reasons
