"""Cells with anchors: how they are learned, what maps hold there and around, and the anchors."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from cascade_rpn_d2.modeling import (
    BinaryCrossEntropyLoss,
    BoxCoder,
    Grid,
    GroundTruth,
    LocationLoss,
    RegionAssigner,
)
from cascade_rpn_d2.modeling.guided_anchors import (
    ActiveCells,
    Activity,
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


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_rows_come_level_by_level_then_image_by_image_then_cell_by_cell(share, layout):
    maps = [
        torch.randn(2, 4, grid.height, grid.width).contiguous(memory_format=layout)
        for grid in GRIDS
    ]
    active = torch.rand(2, CELLS) < share
    index, rows, start = [], [], 0
    for grid, x in zip(GRIDS, maps, strict=True):
        for image in range(2):
            for cell in range(grid.cells):
                if active[image, start + cell]:
                    index.append(image * CELLS + start + cell)
                    rows.append(x[image, :, cell // grid.width, cell % grid.width])
        start += grid.cells
    cells = ActiveCells(active, GRIDS)
    assert cells.index.tolist() == index
    assert torch.equal(cells.rows(maps), torch.stack(rows) if rows else torch.zeros(0, 4))
    assert torch.equal(flatten_cells([mask[:, None] for mask in cells.masks])[..., 0], active)


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


def test_activity_counts_images_cells_and_those_with_anchors():
    activity = Activity()
    activity.update([3, 0], [40, 40])
    activity.update([10], [90])
    assert (activity.images, activity.cells, activity.active) == (3, 170, 13)
    assert activity.last == [10]
    activity.update([], [])
    assert (activity.images, activity.cells, activity.active) == (3, 170, 13)
    activity.reset()
    assert (activity.images, activity.cells, activity.active) == (0, 0, 0)


class TestLocationLoss:
    grids = (Grid(16, 16, 4),)

    def truth(self, *boxes: tuple[float, ...]) -> GroundTruth:
        valid = torch.ones(1, len(boxes), dtype=torch.bool)
        return GroundTruth(torch.tensor(boxes).view(1, -1, 4), valid)

    def loss(self, **options) -> LocationLoss:
        return LocationLoss(assigner=RegionAssigner(), **options)

    def test_centres_are_drawn_up_surroundings_left_alone_and_the_rest_pushed_down(self):
        logits = torch.zeros(1, 256, requires_grad=True)
        truth = self.truth((16.0, 16.0, 48.0, 48.0))  # 8 cells wide, its middle in cell 8
        self.loss(loss=BinaryCrossEntropyLoss())(logits, truth, self.grids).backward()
        expected = torch.full((16, 16), 0.1 / 2)  # the slope of a negative at logit 0
        expected[6:11, 6:11] = 0.0
        expected[7:10, 7:10] = -1 / 2
        torch.testing.assert_close(logits.grad.view(16, 16), expected * 200 / 256)

    def test_a_background_that_is_known_costs_next_to_nothing(self):
        # The focal loss with alpha 0.25 and gamma 2 at a probability of 0.01.
        logits = torch.full((2, 256), -math.log(99))
        truth = GroundTruth(torch.zeros(2, 1, 4), torch.zeros(2, 1, dtype=torch.bool))
        expected = 200 * 0.1 * 0.75 * 0.01**2 * -math.log(0.99)
        assert self.loss()(logits, truth, self.grids).item() == pytest.approx(expected, rel=1e-4)
        assert self.loss()(-logits, truth, self.grids) > 10

    def test_its_size_follows_its_options(self):
        logits = torch.randn(1, 256)
        truth = self.truth((16.0, 16.0, 48.0, 48.0))
        usual = self.loss()(logits, truth, self.grids)
        torch.testing.assert_close(
            self.loss(weight=3.0, cells_per_unit=100.0)(logits, truth, self.grids), 1.5 * usual
        )
        positives = self.loss(negative_weight=0.0)(logits, truth, self.grids)
        assert 0 < positives < usual

    def test_half_precision_is_summed_in_float32(self):
        logits = torch.randn(1, 256)
        truth = self.truth((16.0, 16.0, 48.0, 48.0))
        loss = self.loss()(logits.bfloat16(), truth, self.grids)
        assert loss.dtype == torch.float32
        expected = self.loss()(logits.bfloat16().float(), truth, self.grids)
        torch.testing.assert_close(loss, expected)
