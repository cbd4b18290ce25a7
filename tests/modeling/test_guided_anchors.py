"""Cells with anchors: what maps hold there and around, and the anchors themselves."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from cascade_rpn_d2.modeling import BoxCoder, Grid
from cascade_rpn_d2.modeling.guided_anchors import (
    ActiveCells,
    decode_anchors,
    flatten_cells,
    have_anchors,
    shape_deltas,
)

GRIDS = [Grid(4, 5, 8), Grid(2, 3, 16), Grid(1, 2, 32)]
CELLS = sum(grid.cells for grid in GRIDS)


@pytest.fixture
def maps() -> list[torch.Tensor]:
    return [torch.randn(3, 2, grid.height, grid.width) for grid in GRIDS]


@pytest.fixture
def active() -> torch.Tensor:
    """Of three images, the second of which has no active cell."""
    active = torch.rand(3, CELLS) < 0.4
    active[1] = False
    return active


def test_rows_are_those_of_the_active_cells(maps, active):
    cells = ActiveCells(active, GRIDS)
    everywhere = flatten_cells(maps)
    assert torch.equal(cells.rows(maps), everywhere.flatten(0, 1)[cells.index])
    assert torch.equal(cells.index.sort().values, active.flatten().nonzero().squeeze(1))
    assert torch.equal(cells.cell, cells.index % CELLS)


def test_cells_are_counted_by_level_and_image(active):
    cells = ActiveCells(active, GRIDS)
    levels = active.split([grid.cells for grid in GRIDS], dim=1)
    assert cells.counts == [level.sum(dim=1).tolist() for level in levels]
    assert cells.per_image == active.sum(dim=1).tolist() and cells.per_image[1] == 0
    # Rows are in this order.
    image = cells.index // CELLS
    assert image.tolist() == [
        n for level in cells.counts for n, c in enumerate(level) for _ in range(c)
    ]


def test_neighborhoods_hold_zeros_outside_of_the_map(maps, active):
    cells = ActiveCells(active, GRIDS)
    # (N, C*9, Hi*Wi), channels first -> (N, Hi*Wi, 9*C), places first
    unfolded = [F.unfold(x, 3, padding=1).unflatten(1, (2, 9)) for x in maps]
    expected = torch.cat([x.permute(0, 3, 2, 1).flatten(2) for x in unfolded], dim=1)
    assert torch.equal(cells.neighborhoods(maps), expected.flatten(0, 1)[cells.index])


def test_neighborhood_masks_are_the_cells_that_are_read(active):
    masks = ActiveCells(active, GRIDS).neighborhood_masks()
    for mask, own in zip(masks, ActiveCells(active, GRIDS).masks, strict=True):
        for image, row, column in torch.ones_like(mask).nonzero().tolist():
            near = own[image, max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
            assert mask[image, row, column] == near.any()


def test_no_active_cell(maps):
    cells = ActiveCells(torch.zeros(3, CELLS, dtype=torch.bool), GRIDS)
    assert cells.rows(maps).shape == (0, 2) and cells.neighborhoods(maps).shape == (0, 18)
    assert not any(mask.any() for mask in cells.neighborhood_masks())


def test_anchors_have_the_predicted_sides_on_the_centres_of_their_squares():
    square = torch.tensor([[[-16.0, -16, 16, 16], [0, 0, 32, 32]]])
    shape = torch.tensor([[[[2.0, 0.0]], [[0.0, -2.0]]]], requires_grad=True)  # of a 1 x 2 map
    anchors = decode_anchors(square, [shape], BoxCoder((1, 1, 0.5, 0.5)))
    e = torch.tensor(1.0).exp().item()
    expected = [[-16 * e, -16, 16 * e, 16], [0, 16 - 16 / e, 32, 16 + 16 / e]]
    torch.testing.assert_close(anchors, torch.tensor([expected]))
    assert not anchors.requires_grad


def test_centres_move_where_they_are_predicted_too():
    shapes = torch.tensor([[0.25, -0.5, 0.0, 0.0]])
    assert torch.equal(shape_deltas(shapes), shapes)
    assert shape_deltas(torch.tensor([[0.25, -0.5]])).tolist() == [[0, 0, 0.25, -0.5]]
    assert shape_deltas(shapes.half()).dtype == torch.float32


def test_a_cell_at_the_threshold_has_an_anchor():
    location = torch.tensor([[0.0, -0.1, 0.1]], requires_grad=True)
    assert have_anchors(location, 0.5).tolist() == [[True, False, True]]
