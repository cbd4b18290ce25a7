"""The rows of active cells."""

from __future__ import annotations

import pytest
import torch

from cascade_rpn_d2 import layers
from cascade_rpn_d2.benchmark import sparse
from cascade_rpn_d2.benchmark.op import adaptive, level_inputs
from cascade_rpn_d2.benchmark.row import PYRAMID
from tests.benchmark.cases import ONE_PAIR, TINY

dense = layers.adaptive_conv2d


@pytest.fixture
def masks(monkeypatch):
    """The masks that an operator in place of ours is given."""
    given = []

    def adaptive_conv2d(input, boxes, weight, bias=None, *, stride, mask=None):
        if mask is not None:
            given.append(mask)
        output = dense(input, boxes, weight, bias, stride=stride)
        return output if mask is None else output * mask[:, None]

    monkeypatch.setattr(layers, "adaptive_conv2d", adaptive_conv2d)
    return given


def test_every_share_has_a_pyramid_and_its_levels(masks):
    rows = list(sparse.sparse_rows(TINY, ONE_PAIR, channels=4))
    assert [row.level for row in rows].count(PYRAMID) == 4
    assert len(rows) == 4 * 6
    assert list(dict.fromkeys(row.active for row in rows)) == [0.01, 0.05, 0.3, 1.0]
    assert rows[0].quantity == "forward, 1% of the cells active / forward, all cells"
    assert all(row.ratio > 0 for row in rows)
    # One pair a share: the masks of a share come level by level, finest first.
    assert [int(mask.sum()) for mask in masks[::5]] == [4, 19, 115, 384]


@pytest.mark.parametrize(("share", "active"), [(0.001, 1), (0.25, 96), (1.0, 384)])
def test_a_mask_has_its_share_of_active_cells(share, active):
    level = level_inputs(TINY, 4)[0]
    mask = sparse.random_mask(level, share, torch.Generator().manual_seed(0))
    assert mask.shape == (1, 16, 24) and mask.dtype == torch.bool
    assert mask.sum() == active


def test_the_operator_is_told_of_the_mask(masks):
    level = level_inputs(TINY, 4)[0]
    mask = sparse.random_mask(level, 0.3, torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        sparse.Masked(mask)(level), adaptive(level) * mask[:, None], atol=1e-5, rtol=1e-5
    )
    assert masks[0] is mask


def test_our_operator_takes_the_mask():
    level = level_inputs(TINY, 4)[0]
    mask = sparse.random_mask(level, 0.3, torch.Generator().manual_seed(0))
    active = mask[:, None].expand_as(level.x)
    masked, full = sparse.Masked(mask)(level), adaptive(level)
    torch.testing.assert_close(masked[active], full[active], atol=1e-5, rtol=1e-5)
