"""The points are those that the adaptive convolution reads."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cascade_rpn_d2.layers import adaptive_conv2d, deform_conv2d
from cascade_rpn_d2.visualization import (
    deformed_points,
    draw_sampling_points,
    grid_points,
    sampling_points,
)


@pytest.mark.parametrize(
    ("box", "stride", "rows", "columns"),
    [
        # The worked examples UT-1 to UT-3 of the fact sheet, in cells.
        ((4, -4, 36, 28), 4, (-1, 3, 7), (1, 5, 9)),
        ((9, 2, 41, 34), 4, (0.5, 4.5, 8.5), (2.25, 6.25, 10.25)),
        ((10, 6, 58, 30), 8, (0.75, 2.25, 3.75), (1.25, 4.25, 7.25)),
    ],
)
def test_worked_examples(box, stride, rows, columns):
    points = sampling_points([box])[0] / stride
    expected = [(x, y) for y in rows for x in columns]
    np.testing.assert_allclose(points, expected)


@pytest.mark.parametrize("kernel_size", [1, 3, 5])
def test_the_operator_reads_there(kernel_size):
    # A map whose value at a point is a linear function of the point, which bilinear sampling keeps:
    # what one tap reads tells where it is.
    stride, height, width = 8, 12, 14
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    maps = torch.stack((x, y)).double()[None] * stride  # (1, 2, H, W), in pixels
    boxes = torch.rand(1, height * width, 4, dtype=torch.float64) * 10
    boxes = torch.tensor([20.0, 16, 60, 64], dtype=torch.float64) + boxes  # all inside the map
    points = sampling_points(boxes[0], kernel_size)
    for tap in range(kernel_size**2):
        weight = torch.zeros(2, 2, kernel_size**2, dtype=torch.float64)
        weight[0, 0, tap] = weight[1, 1, tap] = 1
        weight = weight.view(2, 2, kernel_size, kernel_size)
        read = adaptive_conv2d(maps, boxes, weight, stride=stride)  # (1, 2, H, W)
        np.testing.assert_allclose(points[:, tap], read[0].flatten(1).T.numpy(), atol=1e-9)


@pytest.mark.parametrize("kernel_size", [0, 2, -1])
def test_the_kernel_must_be_odd(kernel_size):
    with pytest.raises(ValueError, match=f"odd and positive, not {kernel_size}"):
        sampling_points([[0, 0, 1, 1]], kernel_size)


def test_dots_are_drawn_at_the_taps_of_the_chosen_cell():
    image = np.full((96, 128, 3), 60, np.uint8)
    boxes = np.tile([[0.0, 0, 1, 1]], (12 * 16, 1))
    boxes[5 * 16 + 7] = [30, 20, 90, 80]
    picture = draw_sampling_points(image, boxes, 8, (12, 16), [(5, 7)], scale=2)
    assert picture.shape == (192, 256, 3) and (image == 60).all()
    amber = picture[:, :, 0] > 200
    for x, y in sampling_points(boxes[5 * 16 + 7][None])[0] * 2:
        assert amber[int(y), int(x)], (x, y)
    # The boxes of other cells are not drawn.
    assert not amber[:10, :10].any()


def test_boxes_and_cells_must_fit_the_map():
    image = np.zeros((96, 128, 3), np.uint8)
    with pytest.raises(ValueError, match="12x16 cells needs as many boxes, not 3"):
        draw_sampling_points(image, np.zeros((3, 4)), 8, (12, 16), [])
    for cell in ((12, 0), (0, -1)):
        with pytest.raises(ValueError, match="outside the map"):
            draw_sampling_points(image, np.zeros((192, 4)), 8, (12, 16), [cell])


def test_plain_and_dilated_taps_are_where_a_convolution_reads():
    stride, dilation, cell = 8, 2, (5, 6)
    maps = torch.zeros(1, 1, 12, 14, requires_grad=True)
    weight = torch.ones(1, 1, 3, 3)
    read = torch.nn.functional.conv2d(maps, weight, padding=dilation, dilation=dilation)
    read[0, 0, cell[0], cell[1]].backward()
    rows, columns = maps.grad[0, 0].nonzero().T.numpy()
    points = grid_points([[cell[1] * stride, cell[0] * stride]], stride * dilation)[0]
    np.testing.assert_allclose(points, np.stack((columns, rows), axis=1) * stride)


def test_deformed_taps_are_where_a_deformable_convolution_reads():
    # As above: maps of x and y, which sampling keeps, tell where a tap is.
    stride, height, width, cell = 4, 10, 11, (4, 5)
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    maps = torch.stack((x, y)).double()[None] * stride
    offset = torch.rand(1, 18, height, width, dtype=torch.float64) * 3 - 1.5
    center = [[cell[1] * stride, cell[0] * stride]]
    points = deformed_points(center, offset[0, :, cell[0], cell[1]][None].numpy(), stride)[0]
    for tap in range(9):
        weight = torch.zeros(2, 2, 9, dtype=torch.float64)
        weight[0, 0, tap] = weight[1, 1, tap] = 1
        read = deform_conv2d(maps, offset, weight.view(2, 2, 3, 3), padding=1)
        np.testing.assert_allclose(points[tap], read[0, :, cell[0], cell[1]].numpy(), atol=1e-9)


def test_offsets_must_fit_cells_and_kernel():
    for offsets in (np.zeros((2, 18)), np.zeros((1, 17)), np.zeros(18)):
        with pytest.raises(ValueError, match=r"1 cells need offsets \(n, 2\*K\*K\)"):
            deformed_points([[0, 0]], offsets, 8)
    with pytest.raises(ValueError, match="odd"):
        deformed_points([[0, 0]], np.zeros((1, 8)), 8)
