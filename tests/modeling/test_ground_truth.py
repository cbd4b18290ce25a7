"""Padding of ground truth, and the cells that belong to an image."""

from __future__ import annotations

import pytest
import torch
from detectron2.structures import Boxes, ImageList, Instances

from cascade_rpn_d2.modeling import Grid, GroundTruth
from cascade_rpn_d2.modeling.ground_truth import (
    count_own_cells,
    grids_of,
    own_cells,
    valid_cells,
)


def image(*boxes: list[float]) -> Instances:
    x = Instances((100, 100))
    x.gt_boxes = Boxes(torch.tensor(boxes).reshape(-1, 4))
    return x


def test_images_are_padded_to_the_largest_number_of_objects():
    truth = GroundTruth.from_instances([image([0, 0, 1, 1]), image(), image(*[[2, 2, 3, 3]] * 3)])
    assert truth.boxes.shape == (3, 3, 4)
    assert truth.valid.tolist() == [[True, False, False], [False] * 3, [True] * 3]
    assert torch.equal(truth.of(torch.tensor([[0], [0], [2]]))[2, 0], torch.tensor([2.0, 2, 3, 3]))


def test_a_batch_without_objects_keeps_a_place():
    truth = GroundTruth.from_instances([image(), image()])
    assert truth.boxes.shape == (2, 1, 4) and not truth.valid.any()


def test_classes_are_padded_where_they_are_known():
    images = [image([0, 0, 1, 1], [1, 1, 2, 2]), image(), image([2, 2, 3, 3])]
    assert GroundTruth.from_instances(images).classes is None
    for x in images:
        x.gt_classes = torch.arange(5, 5 + len(x))
    truth = GroundTruth.from_instances(images)
    assert truth.classes.tolist() == [[5, 6], [0, 0], [5, 0]]
    assert truth.classes_of(torch.tensor([[1, 0, 1]] * 3))[0].tolist() == [6, 5, 6]
    assert GroundTruth.from_instances(images[1:2]).classes.tolist() == [[0]]


def test_classes_that_are_not_known_cannot_be_had():
    with pytest.raises(ValueError, match="need gt_classes beside gt_boxes"):
        GroundTruth.from_instances([image()]).classes_of(torch.zeros(1, 1, dtype=torch.long))


def test_grids_are_those_of_the_maps():
    maps = [torch.zeros(1, 2, 4, 5), torch.zeros(1, 2, 2, 3)]
    assert grids_of(maps, [8, 16]) == [Grid(4, 5, 8), Grid(2, 3, 16)]


def test_cells_beyond_the_padded_image_are_not_valid():
    grids = [Grid(16, 24, 4), Grid(8, 12, 8)]  # of a batch of 64 x 96
    valid = valid_cells(grids, torch.tensor([[64, 96], [33, 30]]), 2, 32)
    assert valid.shape == (2, (16 * 24 + 8 * 12) * 2)
    assert valid[0].all()
    fine, coarse = valid[1].split([16 * 24 * 2, 8 * 12 * 2])
    # 33 x 30 alone is padded to 64 x 32
    assert torch.equal(fine.view(16, 24, 2).any(-1), (torch.arange(24) < 8).expand(16, -1))
    assert torch.equal(coarse.view(8, 12, 2).all(-1), (torch.arange(12) < 4).expand(8, -1))


@pytest.mark.parametrize("divisibility", [1, 16, 32])
def test_an_image_has_in_a_batch_the_cells_that_it_has_alone(divisibility):
    strides = (4, 8, 16, 32, 64)

    def batch_of(*sizes: tuple[int, int]) -> tuple[ImageList, list[Grid]]:
        images = ImageList.from_tensors([torch.zeros(3, *size) for size in sizes], divisibility)
        height, width = images.tensor.shape[-2:]
        return images, [Grid(-(-height // s), -(-width // s), s) for s in strides]

    sizes = [(97, 64), (33, 130), (64, 96), (100, 1)]
    images, grids = batch_of(*sizes)
    own = own_cells(grids, images, divisibility, torch.device("cpu"))
    levels = own.split([g.cells for g in grids], dim=1)
    for index, size in enumerate(sizes):
        alone, smaller = batch_of(size)
        assert own_cells(smaller, alone, divisibility, torch.device("cpu")) is None
        assert count_own_cells(smaller, alone, divisibility) == [sum(g.cells for g in smaller)]
        for level, grid, expected in zip(levels, grids, smaller, strict=True):
            cells = torch.zeros(grid.height, grid.width, dtype=torch.bool)
            cells[: expected.height, : expected.width] = True
            assert torch.equal(level[index].view_as(cells), cells)
    assert count_own_cells(grids, images, divisibility) == own.sum(dim=1).tolist()
