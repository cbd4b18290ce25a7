"""The rows of Table 5: shares of active cells, and that both ways of computing them agree."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from cascade_rpn_d2.benchmark.heads import run_head
from cascade_rpn_d2.benchmark.location_threshold import (
    TABLE_5,
    MaskedLayers,
    build_ga_rpn,
    build_model,
    dense,
    leave,
    location_threshold_rows,
    sparse,
)
from cascade_rpn_d2.benchmark.targets import ACTIVE_AGREE
from tests.benchmark.cases import ONE_PAIR, TINY

GA_RPN = "demo/ga_rpn.py"
CASE = replace(TINY, boxes=None)


@pytest.fixture(scope="module")
def built():
    return build_ga_rpn(GA_RPN, CASE)


def test_what_the_paper_says():
    assert [f"{row.share:.4f}" for row in TABLE_5] == ["1.0000", "0.2947", "0.0695", "0.0314"]
    assert [f"{row.ratio:.3f}" for row in TABLE_5] == ["1.000", "0.975", "0.951", "0.951"]


@pytest.mark.parametrize("share", [1.0, 0.25, 1e-9])
def test_a_share_of_the_cells_is_left(built, share):
    head, inputs = built
    cells = sum(x[0, 0].numel() for x in inputs.features.values())
    left = leave(share, head, inputs.images, inputs.features, CASE)
    assert left == pytest.approx(max(1, round(share * cells)) / cells)
    head.activity.reset()
    sparse(head, lambda: run_head(head, inputs, CASE))()
    assert head.activity.active / head.activity.cells == pytest.approx(left)


def test_shapes_and_locations_are_as_varied_as_trained_ones(built):
    head, inputs = built
    trace = head.trace(inputs.images, inputs.features)
    sides = trace.anchors[..., 2:] - trace.anchors[..., :2]
    squares = torch.cat([x.tensor for x in head.anchor_generator(list(inputs.features.values()))])
    logs = (sides / (squares[:, 2:] - squares[:, :2])).log().flatten(0, 1)
    torch.testing.assert_close(logs.std(dim=0), torch.full((2,), 0.5), atol=0.01, rtol=0)
    assert trace.probability.logit().std().item() == pytest.approx(2.0, rel=0.01)


def test_one_head_runs_either_way(built):
    head, inputs = built
    leave(0.3, head, inputs.images, inputs.features, CASE)
    found = {}
    for way in (sparse, dense, sparse):
        found[way] = way(head, lambda: run_head(head, inputs, CASE))()[0]
        assert head.sparse == (way is sparse)
    torch.testing.assert_close(
        found[sparse].proposal_boxes.tensor, found[dense].proposal_boxes.tensor
    )


def test_rows_of_the_thresholds():
    first, *rows = location_threshold_rows(TINY, ONE_PAIR, GA_RPN)
    assert first.quantity == "GA-RPN head, all cells / pyramid convolution"
    assert [row.quantity for row in rows[4:8]] == [
        ACTIVE_AGREE,
        "GA-RPN head at 0.01, 29.5% active / all cells",
        "its masked layers at 0.01, 29.5% active / all cells",
        "whole model at 0.01, 29.5% active / all cells",
    ]
    assert len(rows) == 4 * 4 and all(row.case == CASE for row in rows)
    assert [row.published for row in rows[3::4]] == [row.ratio for row in TABLE_5]
    for agreement in rows[::4]:
        assert agreement.met and agreement.unit == "ppm" and agreement.reference == 100
    for row, published in zip(rows[1::4], TABLE_5, strict=True):
        assert row.ratio > 0 and row.active == pytest.approx(published.share, abs=0.005)


def test_what_differs_is_not_timed(monkeypatch):
    def off(self):
        deltas, logits = active(self)
        return deltas, logits + 0.01

    active = MaskedLayers.active
    monkeypatch.setattr(MaskedLayers, "active", off)
    _, *rows = location_threshold_rows(TINY, ONE_PAIR, GA_RPN)
    assert [(row.quantity, row.met) for row in rows] == [(ACTIVE_AGREE, False)] * 4


def test_the_whole_model_has_the_layout_of_the_case():
    case = replace(CASE, layout="channels-last")
    head, _, features = build_model(GA_RPN, case)
    assert features["p2"].is_contiguous(memory_format=torch.channels_last)
    assert list(features) == head.in_features


def test_a_head_without_locations_is_refused():
    with pytest.raises(ValueError, match=r"demo/rpn\.py has no GA-RPN with a location branch"):
        build_ga_rpn("demo/rpn.py", CASE)


def test_low_precision_agrees_too():
    case = replace(CASE, dtype="bfloat16")
    head, inputs = build_ga_rpn(GA_RPN, case)
    share = leave(0.3, head, inputs.images, inputs.features, case)
    assert share == pytest.approx(0.3, abs=0.03)
    assert MaskedLayers(head, inputs, case).agreement(share).met
