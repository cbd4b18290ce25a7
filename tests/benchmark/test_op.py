"""The rows of the operator, on tiny maps."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from cascade_rpn_d2.benchmark import op
from cascade_rpn_d2.benchmark.row import PYRAMID
from cascade_rpn_d2.benchmark.targets import MEMORY
from tests.benchmark.cases import ONE_PAIR, TINY

LEVELS = ["stride 4", "stride 8", "stride 16", "stride 32", "stride 64"]


@pytest.fixture(scope="module")
def rows():
    return list(op.op_rows(TINY, ONE_PAIR, channels=4))


def test_every_comparison_has_a_pyramid_and_its_levels(rows):
    quantities = list(dict.fromkeys(row.quantity for row in rows))
    assert quantities == [
        "forward / F.conv2d",
        "forward / torchvision's deform_conv2d",
        "forward+backward / F.conv2d",
        "forward+backward / torchvision's deform_conv2d",
        MEMORY,
    ]
    for quantity in quantities:
        assert [r.level for r in rows if r.quantity == quantity] == [PYRAMID, *LEVELS]
    assert all(row.ratio is not None and row.case == TINY for row in rows)
    assert [row.cells for row in rows[:6]] == [384 + 96 + 24 + 6 + 2, 384, 96, 24, 6, 2]


def test_the_pyramid_is_the_sum_of_its_levels_and_alone_has_a_target(rows):
    pyramid, *levels = rows[:6]
    assert pyramid.value == pytest.approx(sum(row.value for row in levels))
    assert pyramid.reference == pytest.approx(sum(row.reference for row in levels))
    assert pyramid.ratio == pytest.approx(pyramid.value / pyramid.reference)
    assert pyramid.target == 1.3 and {row.target for row in levels} == {None}


def test_memory_counts_against_its_allowance(rows):
    pyramid, *levels = [row for row in rows if row.quantity == MEMORY]
    for row, level in zip(levels, op.level_inputs(TINY, 4), strict=True):
        assert row.reference == pytest.approx(8 + 0.05 * level.x.nbytes / op.MIB)
        assert row.ratio == pytest.approx(row.value / row.reference) and row.unit == "MiB"
    assert pyramid.ratio == max(row.ratio for row in levels)
    assert pyramid.target == 1.0 and pyramid.pairs is None


@pytest.mark.parametrize("boxes", ["trained", "spread"])
@pytest.mark.parametrize("layout", ["contiguous", "channels-last"])
def test_ours_and_torchvisions_do_the_same_work(boxes, layout):
    case = replace(TINY, boxes=boxes, layout=layout, batch=2)
    for level in op.level_inputs(case, 4):
        torch.testing.assert_close(op.adaptive(level), op.deformable(level), atol=1e-4, rtol=1e-4)
        gradients = [op.backward_part(f, level)() for f in (op.adaptive, op.deformable)]
        for ours, theirs in zip(*gradients, strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=1e-3)
    finest = op.level_inputs(case, 4)[0]
    assert finest.x.is_contiguous(memory_format=case.memory_format)
    assert finest.weight.is_contiguous(memory_format=case.memory_format)


def test_inputs_are_the_same_every_time():
    for first, second in zip(op.level_inputs(TINY, 4), op.level_inputs(TINY, 4), strict=True):
        assert torch.equal(first.x, second.x) and torch.equal(first.boxes, second.boxes)


def test_a_forward_keeps_no_graph():
    level = op.level_inputs(TINY, 4)[0]
    assert not op.forward_part(op.adaptive, level)().requires_grad


def test_a_reference_that_cannot_is_a_row_with_its_reason(monkeypatch):
    def refuse(level):
        raise RuntimeError("not implemented for 'Half'\nsecond line")

    monkeypatch.setattr(op, "REFERENCES", {"F.conv2d": refuse})
    first, *_ = op.op_rows(TINY, ONE_PAIR, channels=4)
    assert first.not_measured == "not implemented for 'Half'" and first.ratio is None
    assert first.target == 1.3 and first.met is None


def test_a_failure_of_ours_is_no_missing_row(monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError("broken kernel")

    monkeypatch.setattr(op.layers, "adaptive_conv2d", fail)
    with pytest.raises(RuntimeError, match="broken kernel"):
        list(op.op_rows(TINY, ONE_PAIR, channels=4))
