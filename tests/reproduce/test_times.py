"""Times of rows, in seconds and in units of the baseline's."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cascade_rpn_d2.engine.measurement import Measurement
from cascade_rpn_d2.reproduce import Row, Table
from cascade_rpn_d2.reproduce.times import (
    baseline_of,
    is_timed,
    own_ratio,
    own_seconds,
    published_ratio,
    time_sentence,
)

QUOTED = Row("SharpMask", None, (1.0,), seconds=0.76)
RPN = Row("RPN", "a.py", (1.0,), seconds=0.04)
CASCADE = Row("Cascade RPN", "b.py", (2.0,), seconds=0.06)
UNTIMED = Row("Other", "c.py", (2.0,))
TABLE = Table("t", ("bbox/AP",), "COCO val2017", (QUOTED, RPN, CASCADE, UNTIMED))
DEVICE = {"device": "A", "threads": 2, "processes": 1, "versions": {"torch": "2.11.0"}}
ONE = Measurement((("demo", None),), 120, 0.02, 115, DEVICE)


def test_the_baseline_is_the_first_row_that_can_be_run():
    assert baseline_of(TABLE) is RPN and is_timed(TABLE)
    quoted = Table("t", ("bbox/AP",), "COCO val2017", (QUOTED,))
    assert baseline_of(quoted) is None and published_ratio(quoted, QUOTED) is None
    assert not is_timed(Table("t", ("bbox/AP",), "COCO val2017", (UNTIMED,)))


def test_ratios_of_the_paper():
    ratios = [published_ratio(TABLE, row) for row in TABLE.rows]
    assert ratios == [None, 1, pytest.approx(1.5), None]


def test_ratios_of_ours_are_of_one_machine_and_the_same_images():
    other = replace(ONE, seconds=0.05)
    measured = {RPN: ONE, CASCADE: other}
    assert own_ratio(TABLE, RPN, measured) == 1
    assert own_ratio(TABLE, CASCADE, measured) == pytest.approx(2.5)
    assert own_seconds(CASCADE, measured) == 0.05
    assert own_ratio(TABLE, UNTIMED, measured) is None and own_seconds(UNTIMED, measured) is None
    for changed in (
        replace(other, seconds=None),
        replace(other, machine={**DEVICE, "device": "B"}),
        replace(other, machine={**DEVICE, "versions": {"torch": "2.12.0"}}),
        replace(other, machine={**DEVICE, "threads": 1}),
        replace(other, test_data=(("else", None),)),
    ):
        assert own_ratio(TABLE, CASCADE, {RPN: ONE, CASCADE: changed}) is None
    assert own_ratio(TABLE, CASCADE, {CASCADE: other}) is None, "the baseline was not run"


def test_how_they_were_taken_is_said_with_the_machine():
    said = time_sentence(TABLE, {RPN: ONE})
    assert "median over the images" in said and "on A, 2 threads, torch 2.11.0." in said
    assert "'x RPN'" in said
    assert "on A, 1 thread, torch" in time_sentence(
        TABLE, {RPN: replace(ONE, machine={**DEVICE, "threads": 1})}
    )
    assert time_sentence(TABLE, {RPN: replace(ONE, seconds=None)}) == ""
    many = {RPN: ONE, CASCADE: replace(ONE, machine={**DEVICE, "device": "B", "processes": 8})}
    said = time_sentence(TABLE, many)
    assert "several machines (A, 2 threads, torch 2.11.0; B, 2 threads, 8 processes," in said
