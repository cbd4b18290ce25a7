"""Parts of images are where they were, to a pixel of the picture."""

from __future__ import annotations

import numpy as np
import pytest

from cascade_rpn_d2.visualization.windows import OUTSIDE, cut_window, in_window, window_around

SIZE = (80, 120)


def test_a_window_is_around_its_places_and_in_the_image():
    left, top, right, bottom = window_around(SIZE, np.array([[50.0, 30], [70, 40]]), room=0.25)
    assert (left, right) == (45, 75) and bottom - top == 30 and (top + bottom) / 2 == 35
    corner = window_around(SIZE, np.array([[0.0, 0], [20, 20]]))
    assert corner[:2] == pytest.approx((-0.8, -0.8))  # a rim for what lies on the border
    assert corner[2] - corner[0] == pytest.approx(20 * 1.36)
    point = window_around(SIZE, np.array([[60.0, 40]]))
    assert point[2] - point[0] == pytest.approx(8)


def test_a_window_may_be_wide():
    left, top, right, bottom = window_around(
        SIZE, np.array([[50.0, 30], [60, 50]]), room=0.1, aspect=1.5
    )
    assert bottom - top == pytest.approx(24) and right - left == pytest.approx(36)
    assert (left + right) / 2 == pytest.approx(55)


def test_a_part_is_enlarged_and_grey_outside_the_image():
    image = np.zeros((*SIZE, 3), np.uint8)
    image[10:20, 30:40] = (200, 100, 50)
    window = (-10.0, 5.0, 50.0, 35.0)
    part = cut_window(image, window, 4.0)
    assert part.shape == (120, 240, 3)
    # Two pixels of the image on either side of its border are smoothed.
    assert (part[:, :32] == OUTSIDE).all() and not (part[0, 48:] == OUTSIDE).any()
    ys, xs = np.nonzero((part[..., 0] > 100) & (part[..., 1] < 120))
    box = in_window(np.array([30.0, 10, 40, 20]), window, 4.0)
    np.testing.assert_allclose((xs.min(), ys.min(), xs.max() + 1, ys.max() + 1), box, atol=1)
    np.testing.assert_array_equal(in_window(np.array([[40.0, 20]]), window, 4.0), [box[2:]])


def test_a_part_may_be_darker_and_there_may_be_no_image_in_it():
    image = np.full((*SIZE, 3), 200, np.uint8)
    assert (cut_window(image, (10, 10, 20, 20), 1.0, 0.5) == 100).all()
    assert (cut_window(image, (200, 10, 220, 20), 1.0) == OUTSIDE).all()
