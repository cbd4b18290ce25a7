"""Maps, boxes and offsets: shapes and statistics."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import torchvision

from cascade_rpn_d2.benchmark.inputs import (
    pyramid,
    random_boxes,
    random_maps,
    sampling_offsets,
)
from cascade_rpn_d2.layers import adaptive_conv2d
from cascade_rpn_d2.modeling import Grid
from tests.benchmark.cases import TINY

GRID = Grid(40, 60, 4)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(1)


def test_the_levels_of_the_papers_images():
    sizes = [(grid.height, grid.width) for grid in pyramid((800, 1344))]
    assert sizes == [(200, 336), (100, 168), (50, 84), (25, 42), (13, 21)]
    assert [grid.stride for grid in pyramid((480, 640))] == [4, 8, 16, 32, 64]
    assert (pyramid((480, 640))[-1].height, pyramid((480, 640))[-1].width) == (8, 10)


def test_maps_have_the_layout_and_the_dtype_of_the_case(generator):
    case = replace(TINY, layout="channels-last", dtype="bfloat16", batch=2)
    maps = random_maps(case, 8, generator)
    assert [tuple(x.shape) for x in maps[:2]] == [(2, 8, 16, 24), (2, 8, 8, 12)]
    assert all(x.dtype == torch.bfloat16 for x in maps)
    assert maps[0].is_contiguous(memory_format=torch.channels_last)
    assert maps[0].float().std() == pytest.approx(1.0, abs=0.05)


def centers_and_sides(boxes):
    boxes = boxes / GRID.stride
    return (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]


@pytest.mark.parametrize("kind", ["trained", "spread"])
def test_sides_are_log_normal_around_eight_cells(kind, generator):
    boxes = random_boxes(kind, GRID, 2, generator)
    assert boxes.shape == (2, 40 * 60, 4)
    _, sides = centers_and_sides(boxes)
    logs = sides.log()
    assert logs.mean() == pytest.approx(math.log(8), abs=0.03)
    assert logs.std() == pytest.approx(0.5, abs=0.02)


def test_trained_boxes_stay_within_half_a_cell_of_their_cells(generator):
    centers, _ = centers_and_sides(random_boxes("trained", GRID, 2, generator))
    cells = torch.cartesian_prod(torch.arange(40), torch.arange(60)).flip(-1)  # x, y row by row
    moved = centers - cells
    assert moved.abs().max() <= 0.5 + 1e-4
    assert moved.std() == pytest.approx(12**-0.5, abs=0.01)
    assert moved.mean() == pytest.approx(0.0, abs=0.02)


def test_spread_boxes_are_anywhere_on_the_map(generator):
    centers, _ = centers_and_sides(random_boxes("spread", GRID, 2, generator))
    share = centers / torch.tensor([60, 40])
    assert share.min() >= 0 and share.max() <= 1
    assert share.std() == pytest.approx(12**-0.5, abs=0.01)


def test_other_boxes_are_refused(generator):
    with pytest.raises(ValueError, match="no 'wild' boxes"):
        random_boxes("wild", GRID, 1, generator)


@pytest.mark.parametrize("kind", ["trained", "spread"])
def test_offsets_make_torchvision_sample_the_same_places(kind, generator):
    grid = Grid(7, 9, 8)
    boxes = random_boxes(kind, grid, 2, generator)
    x = torch.randn(2, 4, 7, 9, generator=generator)
    weight = torch.randn(4, 4, 3, 3, generator=generator)
    ours = adaptive_conv2d(x, boxes, weight, stride=8)
    theirs = torchvision.ops.deform_conv2d(x, sampling_offsets(boxes, grid), weight, padding=1)
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
