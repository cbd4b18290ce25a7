"""Grid points as heat maps and back: worked numbers, a plain reference, and what holds always."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F

from cascade_rpn_d2.layers import (
    decode_grid_boxes,
    decode_grid_points,
    encode_grid_points,
    mapped_regions,
    sub_region_starts,
)

BOX = torch.tensor([[100.0, 100, 200, 180]])
OBJECT = torch.tensor([[90.0, 110, 210, 190]])

# Of BOX and OBJECT, in the released code of CPM R-CNN: mapping ratio, region, cells of the columns
# and rows on the whole map, peaks by row, and the box that one-hot maps at these cells decode to.
GOLDEN = [
    (2.0, (50, 60, 200, 160), (11, 28, 44), (17, 31, 45), (5, 5, 5),
     (91.0714, 110.0, 208.9286, 190.0)),
    (1.5, (75, 80, 150, 120), (5, 28, 50), (14, 32, 51), (5, 5, 5),
     (89.7321, 111.0714, 210.2678, 190.3571)),
    # The lower edge of the object is that of the region: its row is the first one outside.
    (1.25, (87.5, 90, 125, 100), (1, 28, 54), (11, 33, 56), (5, 5, 1),
     (90.8478, 110.5357, 209.1419, 140.8929)),
]  # fmt: skip


def one_hot(columns, rows, grid_size=3, map_size=28, high=4.0, low=-8.0):
    """Logits (1, P, m, m) with one peak at the crossing of given cells of the whole map."""
    starts = sub_region_starts(grid_size, map_size).tolist()
    logits = torch.full((1, grid_size**2, map_size, map_size), low)
    for a, column in enumerate(columns):
        for b, row in enumerate(rows):
            x, y = column - starts[a], row - starts[b]
            if 0 <= x < map_size and 0 <= y < map_size:
                logits[0, a * grid_size + b, y, x] = high
    return logits


def plain_encode(box, target, grid_size, map_size, ratio, radius, min_size):
    """The targets of one box, cell by cell."""
    whole = 2 * map_size
    starts = sub_region_starts(grid_size, map_size).tolist()
    x1, y1, x2, y2 = box
    width, height = ratio * (x2 - x1), ratio * (y2 - y1)
    left = x1 - (ratio - 1) * (x2 - x1) / 2
    top = y1 - (ratio - 1) * (y2 - y1) / 2
    maps = torch.zeros(grid_size**2, map_size, map_size)
    if width <= min_size or height <= min_size:
        return maps
    for a in range(grid_size):
        for b in range(grid_size):
            part_x, part_y = a / (grid_size - 1), b / (grid_size - 1)
            column = int(((1 - part_x) * target[0] + part_x * target[2] - left) / width * whole)
            row = int(((1 - part_y) * target[1] + part_y * target[3] - top) / height * whole)
            for y in range(map_size):
                for x in range(map_size):
                    dx, dy = x + starts[a] - column, y + starts[b] - row
                    maps[a * grid_size + b, y, x] = dx * dx + dy * dy <= radius**2
    return maps


@pytest.mark.parametrize("ratio, region, columns, rows, peaks, decoded", GOLDEN)
def test_golden_example(ratio, region, columns, rows, peaks, decoded):
    assert mapped_regions(BOX, ratio)[0].tolist() == list(region)
    maps = encode_grid_points(BOX, OBJECT, mapping_ratio=ratio)[0]  # (P, m, m)
    assert maps.sum(dim=(1, 2)).view(3, 3).tolist() == [list(peaks)] * 3
    expected = one_hot(columns, rows, high=1.0, low=0.0)
    centers = encode_grid_points(BOX, OBJECT, mapping_ratio=ratio, radius=0)
    assert torch.equal(centers, expected)
    boxes = decode_grid_boxes(one_hot(columns, rows), BOX, mapping_ratio=ratio)
    assert boxes[0].tolist() == pytest.approx(decoded, abs=1e-4)


@pytest.mark.parametrize("grid_size, starts", [
    (2, [0, 28]), (3, [0, 14, 28]), (4, [0, 4, 23, 28]), (5, [0, 0, 14, 28, 28]),
    (6, [0, 0, 8, 19, 28, 28]),
])  # fmt: skip
def test_sub_regions(grid_size, starts):
    assert sub_region_starts(grid_size, 28).tolist() == starts


def test_sub_regions_start_where_the_exact_quotients_say():
    for grid_size in range(2, 30):
        for map_size in range(2, 60, 2):
            parts = [Fraction(k, grid_size - 1) - Fraction(1, 4) for k in range(grid_size)]
            exact = [min(max(math.trunc(2 * map_size * part), 0), map_size) for part in parts]
            assert sub_region_starts(grid_size, map_size).tolist() == exact


@pytest.mark.parametrize("grid_size, map_size, ratio, radius", [
    (3, 28, 2.0, 1), (3, 28, 1.5, 1), (3, 28, 1.25, 2), (2, 12, 2.0, 1), (4, 12, 2.0, 1),
    (5, 12, 1.0, 0),
])  # fmt: skip
def test_targets_are_those_of_a_plain_reference(grid_size, map_size, ratio, radius):
    generator = torch.Generator().manual_seed(grid_size)
    # Halves and quarters, so that both compute without rounding up to the division.
    corner = torch.randint(0, 400, (6, 2), generator=generator) / 4
    boxes = torch.cat((corner, corner + torch.randint(4, 400, (6, 2), generator=generator) / 4), 1)
    objects = boxes + torch.randint(-80, 80, (6, 4), generator=generator) / 4
    found = encode_grid_points(
        boxes.double(), objects.double(), grid_size=grid_size, map_size=map_size,
        mapping_ratio=ratio, radius=radius,
    )  # fmt: skip
    assert found.shape == (6, grid_size**2, map_size, map_size)
    for box, target, maps in zip(boxes.tolist(), objects.tolist(), found, strict=True):
        expected = plain_encode(box, target, grid_size, map_size, ratio, radius, 3.0)
        assert torch.equal(maps, expected.double())


def test_a_batch_is_its_boxes():
    boxes = BOX + torch.arange(5.0)[:, None]
    every = encode_grid_points(boxes, OBJECT.expand(5, 4))
    for index in range(5):
        assert torch.equal(every[index], encode_grid_points(boxes[index, None], OBJECT)[0])
    assert encode_grid_points(boxes[:0], boxes[:0]).shape == (0, 9, 28, 28)
    assert decode_grid_boxes(every[:0], boxes[:0]).shape == (0, 4)


@pytest.mark.parametrize("ratio", [2.0, 1.5])
def test_edges_come_back_within_half_a_cell(ratio):
    generator = torch.Generator().manual_seed(0)
    corner = 500 * torch.rand(200, 2, generator=generator)
    size = 20 + 300 * torch.rand(200, 2, generator=generator)
    boxes = torch.cat((corner, corner + size), dim=1)
    # So near that every point is in its sub-region and the region.
    shift = (torch.rand(200, 4, generator=generator) - 0.5) * 0.3 * (ratio - 1)
    objects = boxes + shift * size.repeat(1, 2)
    maps = encode_grid_points(boxes, objects, mapping_ratio=ratio, radius=0)
    assert (maps.sum(dim=(2, 3)) == 1).all()
    found = decode_grid_boxes(20 * maps - 10, boxes, mapping_ratio=ratio)
    cell = (ratio * size / 56).repeat(1, 2)
    assert ((found - objects).abs() / cell).max() <= 0.5 + 1e-4


def test_points_just_outside_the_region_are_in_its_first_cell():
    # Towards zero: up to one cell left of the region, 50, with cells of 200 / 56 px.
    for left, expected in ((50.1, 1), (49.9, 1), (50 - 3.5, 1), (50 - 3.6, 0)):
        target = torch.tensor([[left, 110, 210, 190]])
        maps = encode_grid_points(BOX, target, radius=0)
        assert maps[0, 0, :, 0].sum() == expected
        assert maps[0, 0].sum() == expected


def test_objects_far_away_leave_maps_empty():
    maps = encode_grid_points(BOX, OBJECT + 1000)
    assert maps.sum() == 0
    # Points that the sub-region does not reach, of an object in the left half of the box.
    maps = encode_grid_points(BOX, torch.tensor([[100.0, 100, 110, 180]]))
    assert maps[0, 6:].sum() == 0 and (maps[0, :3].sum(dim=(1, 2)) == 5).all()


@pytest.mark.parametrize("side, limit, seen", [(1.5, 3, False), (1.6, 3, True), (1.6, 4, False)])
def test_tiny_regions_have_no_peaks(side, limit, seen):
    box = torch.tensor([[10, 10, 10 + side, 40]])
    maps = encode_grid_points(box, box, min_region_size=limit)
    assert bool(maps.any()) == seen


def test_boxes_without_a_side_are_no_trouble():
    box = torch.tensor([[10.0, 10, 10, 40], [5, 5, 5, 5]])
    assert encode_grid_points(box, box).sum() == 0
    found = decode_grid_boxes(torch.zeros(2, 9, 28, 28), box)
    assert found.isfinite().all() and (found[:, 0] == box[:, 0]).all()


def test_edges_are_means_weighted_by_probability():
    generator = torch.Generator().manual_seed(1)
    logits = 3 * torch.randn(4, 9, 28, 28, generator=generator)
    boxes = BOX.expand(4, 4) + 10 * torch.arange(4)[:, None]
    points, peaks = decode_grid_points(logits, boxes)
    found = decode_grid_boxes(logits, boxes)
    weight = peaks.double().sigmoid()
    edges = (((0, 1, 2), 0), ((0, 3, 6), 1), ((6, 7, 8), 0), ((2, 5, 8), 1))
    for edge, (members, axis) in enumerate(edges):
        on_edge = points[:, members, axis].double()
        expected = (on_edge * weight[:, members]).sum(1) / weight[:, members].sum(1)
        assert torch.allclose(found[:, edge].double(), expected, atol=1e-4)
    # The point in the middle has no vote.
    logits[:, 4] = torch.randn(4, 28, 28, generator=generator)
    assert torch.equal(decode_grid_boxes(logits, boxes), found)


def test_maps_that_see_nothing_still_give_a_box():
    logits = torch.full((1, 9, 28, 28), -500.0)  # whose sigmoid is 0 in float32
    logits[:, :, 10, 10] = -300
    expected = decode_grid_boxes(logits / 100, BOX)
    assert torch.allclose(decode_grid_boxes(logits, BOX), expected)


def test_the_first_of_equal_cells_counts():
    points, peaks = decode_grid_points(torch.zeros(1, 9, 28, 28), BOX)
    assert points[0, 0].tolist() == pytest.approx([50 + 0.5 / 56 * 200, 60 + 0.5 / 56 * 160])
    assert peaks.tolist() == [[0.0] * 9]


def test_certain_cells_are_told_apart():
    # Both have a probability of exactly 1 in half precision, and in float32.
    logits = torch.zeros(1, 9, 28, 28, dtype=torch.float16)
    logits[..., 3, 4], logits[..., 20, 21] = 30, 40
    points, _ = decode_grid_points(logits, BOX)
    assert points[0, 0].tolist() == pytest.approx([50 + 21.5 / 56 * 200, 60 + 20.5 / 56 * 160])
    # In the reference codes they are equal, and the first counts.
    points, peaks = decode_grid_points(logits, BOX, by_probability=True)
    assert points[0, 0].tolist() == pytest.approx([50 + 4.5 / 56 * 200, 60 + 3.5 / 56 * 160])
    assert peaks.tolist() == [[30.0] * 9]


def test_both_ways_to_read_a_map_agree_on_what_is_not_certain():
    logits = 3 * torch.randn(5, 9, 28, 28)
    boxes = BOX.expand(5, -1)
    one, other = (decode_grid_boxes(logits, boxes, by_probability=by) for by in (False, True))
    assert torch.equal(one, other)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_coordinates_are_float32_inside_autocast(dtype):
    boxes, objects = BOX + 3001, OBJECT + 3001  # no numbers of half precision
    maps = encode_grid_points(boxes, objects)
    expected = decode_grid_boxes(20 * maps - 10, boxes)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(encode_grid_points(boxes, objects), maps)
        found = decode_grid_boxes((20 * maps - 10).to(dtype), boxes)
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)


def test_double_stays_double():
    assert encode_grid_points(BOX.double(), OBJECT.double()).dtype == torch.float64
    assert decode_grid_boxes(torch.zeros(1, 9, 28, 28), BOX.double()).dtype == torch.float64


def test_what_cannot_be_says_so():
    with pytest.raises(ValueError, match="square of grid points, 4, 9, 16, ..., not 8"):
        decode_grid_boxes(torch.zeros(1, 8, 28, 28), BOX)
    with pytest.raises(ValueError, match="at least 2 x 2 grid points.*grid_size=1"):
        encode_grid_points(BOX, OBJECT, grid_size=1)
    with pytest.raises(ValueError, match="map_size=7"):
        encode_grid_points(BOX, OBJECT, map_size=7)


def test_a_peak_is_what_the_loss_learns():
    """Descending the loss of heat maps moves the decoded box to the object."""
    logits = torch.zeros(1, 9, 28, 28, requires_grad=True)
    target = encode_grid_points(BOX, OBJECT, radius=0)
    for _ in range(50):
        (grad,) = torch.autograd.grad(
            F.binary_cross_entropy_with_logits(logits, target, reduction="sum"), logits
        )
        logits = (logits - grad).detach().requires_grad_()
    found = decode_grid_boxes(logits, BOX)
    assert (found - OBJECT).abs().max() <= 0.5 * 200 / 56


@pytest.mark.gpu
def test_both_directions_on_a_gpu_equal_those_on_a_cpu_and_wait_for_nothing():
    generator = torch.Generator().manual_seed(2)
    boxes = BOX + 50 * torch.rand(40, 4, generator=generator) - 25
    objects = boxes + 20 * torch.rand(40, 4, generator=generator) - 10
    logits = torch.randn(40, 9, 28, 28, generator=generator)
    maps, found = encode_grid_points(boxes, objects), decode_grid_boxes(logits, boxes)
    on_gpu = [x.cuda() for x in (boxes, objects, logits)]
    torch.cuda.set_sync_debug_mode("error")
    try:
        gpu_maps = encode_grid_points(on_gpu[0], on_gpu[1])
        gpu_found = decode_grid_boxes(on_gpu[2], on_gpu[0])
    finally:
        torch.cuda.set_sync_debug_mode("default")
    # A point may fall on the border of two cells, where the last bit of a division decides.
    assert (gpu_maps.cpu() != maps).float().mean() < 1e-4
    assert math.isclose(float((gpu_found.cpu() - found).abs().max()), 0, abs_tol=1e-3)
