"""Panels of what convolutions read."""

from __future__ import annotations

import numpy as np
import pytest

from cascade_rpn_d2.visualization import Sampling, draw_convolutions, grid_points, sampling_points
from cascade_rpn_d2.visualization.convolutions import CENTER_TAP, common_window
from cascade_rpn_d2.visualization.panels import cell_size
from cascade_rpn_d2.visualization.sampling_points import CELL_COLORS

IMAGE = np.full((80, 120, 3), 60, np.uint8)
CELL = np.array([[40.0, 32.0]])
BOX = np.array([[30.0, 20, 70, 60]])
SAMPLINGS = [
    Sampling("Plain", grid_points(CELL, 8), BOX, "dilation 1"),
    Sampling("Adaptive", sampling_points(BOX), BOX),
]


def panels(picture, count):
    """The pictures of a row, without headers, captions and legend."""
    size = cell_size(picture.shape[1], count)
    left = (picture.shape[1] - count * size - (count - 1) * 10) // 2
    return [picture[32 : 32 + size, left + i * (size + 10) :][:, :size] for i in range(count)]


def centers_of_color(panel, color):
    """Mean place (x, y) of the pixels that have exactly a colour."""
    ys, xs = np.nonzero((panel == color).all(axis=2))
    return np.array([xs.mean() + 0.5, ys.mean() + 0.5])


def test_every_panel_shows_its_taps_in_the_same_part_of_the_image():
    picture = draw_convolutions(IMAGE, CELL, SAMPLINGS, width=620)
    assert picture.shape[1] == 620 and (IMAGE == 60).all()
    left, top, right, bottom = common_window(IMAGE.shape[:2], CELL, SAMPLINGS)
    assert right - left == pytest.approx(bottom - top)
    scale = cell_size(620, 2) / (right - left)
    for panel, sampling in zip(panels(picture, 2), SAMPLINGS, strict=True):
        assert panel.shape[0] == panel.shape[1] == cell_size(620, 2)
        at = (sampling.points[0] - (left, top)) * scale
        np.testing.assert_allclose(centers_of_color(panel, CENTER_TAP), at[4], atol=1)
        for tap in (0, 1, 2, 3, 5, 6, 7, 8):
            x, y = at[tap].astype(int)
            assert tuple(panel[y, x]) == CELL_COLORS[0]


def test_the_window_holds_everything_and_leaves_the_image_only_for_taps():
    inside = common_window((80, 120), CELL, SAMPLINGS)
    assert inside[0] >= 0 and inside[1] >= 0 and inside[2] <= 120 and inside[3] <= 80
    assert inside[0] < 30 and inside[1] < 20 and inside[2] > 70 and inside[3] > 60
    # At the border of the image it moves inside, and shows a rim for the taps on the border.
    corner = [Sampling("x", sampling_points([[0, 0, 40, 40]]))]
    left, top, right, bottom = common_window((80, 120), CELL, corner)
    assert -3 < left < 0 and -3 < top < 0 and right - left == pytest.approx(40 * 1.36)
    outside = [Sampling("x", sampling_points([[-30, 0, 10, 40]]))]
    assert common_window((80, 120), CELL, outside)[0] < -30
    # An image smaller than that is shown as a whole.
    whole = [Sampling("x", sampling_points([[10, 10, 110, 70]]))]
    assert common_window((80, 120), CELL, whole) == (0, 0, 120, 80)


def test_cells_have_colours_of_their_own():
    cells = np.array([[30.0, 30], [60, 40]])
    both = [Sampling("Plain", grid_points(cells, 8))]
    picture = draw_convolutions(IMAGE, cells, both, width=400)
    one = draw_convolutions(IMAGE, CELL, SAMPLINGS[:1], width=400)
    second = (picture[:-60] == CELL_COLORS[1]).all(axis=2)
    assert second.any() and not (one == CELL_COLORS[1]).all(axis=2).any()


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="no cell whose taps"):
        draw_convolutions(IMAGE, [], SAMPLINGS)
    with pytest.raises(ValueError, match="'Plain' must have taps and boxes of 2 cells"):
        draw_convolutions(IMAGE, np.repeat(CELL, 2, axis=0), SAMPLINGS)
    with pytest.raises(ValueError, match="0 columns|at least one panel"):
        draw_convolutions(IMAGE, CELL, [])
