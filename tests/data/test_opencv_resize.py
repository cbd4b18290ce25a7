"""Images are resized as OpenCV does it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from detectron2.data import transforms as T

from cascade_rpn_d2.data import OpenCVResizeShortestEdge


def picture(height: int, width: int) -> np.ndarray:
    return np.random.RandomState(0).randint(0, 256, (height, width, 3), dtype=np.uint8)


def resized(image: np.ndarray, short: int, longest: int, *, in_float: bool = True) -> np.ndarray:
    augmentation = OpenCVResizeShortestEdge(short, longest, in_float=in_float)
    return augmentation.get_transform(image).apply_image(image)


def test_floats_are_interpolated_between_four_pixels():
    # Halved, a pixel is the mean of four; at three quarters it is between two in each direction.
    image = np.array([[0, 10, 20, 40], [1, 11, 21, 41]], np.uint8)[:, :, None].repeat(3, axis=2)
    assert resized(image, 1, 9)[:, :, 0].tolist() == [[5.5, 30.5]]
    assert resized(image.repeat(2, axis=0), 3, 9)[0, :, 0] == pytest.approx(
        [10 / 6, 15, 40 - 20 / 6], abs=1e-4
    )


@pytest.mark.parametrize("size", [(48, 64), (37, 61), (90, 41)])
def test_sizes_are_those_of_detectron2(size):
    image = picture(*size)
    for short, longest in ((30, 40), (100, 120), (31, 500)):
        expected = T.ResizeShortestEdge(short, longest).get_transform(image)
        for in_float in (True, False):
            found = resized(image, short, longest, in_float=in_float)
            assert found.shape[:2] == (expected.new_h, expected.new_w)


def test_floats_are_taken_by_the_factor_and_whole_numbers_by_the_sizes():
    image = picture(37, 61)  # at 30 pixels 49.46 become 49
    by_factor = cv2.resize(image.astype(np.float32), None, fx=30 / 37, fy=30 / 37)
    assert np.array_equal(resized(image, 30, 500), by_factor)
    assert np.array_equal(resized(image, 30, 500, in_float=False), cv2.resize(image, (49, 30)))
    assert resized(image, 30, 500).dtype == np.float32
    assert resized(image, 30, 500, in_float=False).dtype == np.uint8


def test_a_smaller_image_is_not_smoothed_first():
    stripes = np.zeros((40, 40, 3), np.uint8)
    stripes[:, ::4] = 255
    # Of four columns it sees the two in the middle.
    assert not resized(stripes, 10, 10).any()
    smoothed = T.ResizeShortestEdge(10, 10).get_transform(stripes).apply_image(stripes)
    assert smoothed.min() > 30


def test_coordinates_and_labels_are_resized_as_ever():
    image = picture(40, 60)
    transform = OpenCVResizeShortestEdge(20, 100).get_transform(image)
    assert transform.apply_box(np.array([[2.0, 4, 60, 40]])).tolist() == [[1, 2, 30, 20]]
    labels = np.arange(40 * 60, dtype=np.uint8).reshape(40, 60)
    assert set(np.unique(transform.apply_segmentation(labels))) <= set(np.unique(labels))
    assert transform.inverse().apply_box(np.array([[1.0, 2, 30, 20]])).tolist() == [[2, 4, 60, 40]]
