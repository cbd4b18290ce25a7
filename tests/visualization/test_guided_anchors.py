"""The picture of guided anchors: where they are, and of which shape."""

from __future__ import annotations

import numpy as np
import pytest

from cascade_rpn_d2.visualization import AnchorLevel, draw_guided_anchors, guided_anchors
from cascade_rpn_d2.visualization.guided_anchors import centers_of, pixel_maps
from cascade_rpn_d2.visualization.proposals import rank_colors

IMAGE = np.full((40, 60, 3), 120, np.uint8)


def level(stride, probability, width, height, threshold=0.01):
    """Cells whose centres are at multiples of the stride, all with anchors of one size."""
    probability = np.array(probability, float)
    rows, columns = np.indices(probability.shape)
    middle = np.stack((columns, rows), axis=-1) * float(stride)
    half = np.array([width, height]) / 2
    anchors = np.concatenate((middle - half, middle + half), axis=-1)
    return AnchorLevel(anchors, probability, probability >= threshold, (0, 0), (stride, stride))


# Of 20 px and 40 px, 2 x 3 and 1 x 2 cells; anchors twice as high as wide, and four times as wide.
FINE = level(20, [[0.5, 0.0, 0.001], [0.0, 0.2, 0.0]], 10, 20)
COARSE = level(40, [[0.1, 0.003]], 40, 10)


def test_a_pixel_shows_the_most_probable_of_the_nearest_cells():
    probability, ratio = pixel_maps([FINE, COARSE], (40, 60), 1.0)
    # Cells begin half a stride before their centres: the first fine one ends at pixel 10.
    assert (probability[:10, :10] == 0.5).all() and np.allclose(ratio[:10, :10], 1)
    # Then the first coarse one is more probable, up to its end at pixel 20.
    assert (probability[:10, 10:20] == 0.1).all() and np.allclose(ratio[:10, 10:20], -2)
    # The last row of cells is that of the rest of the image, too.
    assert (probability[30:, 10:30] == 0.2).all() and np.allclose(ratio[10:, 10:30], 1)
    # No cell is active there: 0.003 is below the threshold.
    assert (probability[:10, 20:50] == 0.003).all() and np.isnan(ratio[:10, 20:50]).all()


def test_a_larger_picture_shows_the_same():
    small, large = (pixel_maps([FINE, COARSE], (40 * k, 60 * k), k) for k in (1, 3))
    for one, other in zip(small, large, strict=True):
        np.testing.assert_array_equal(one.repeat(3, axis=0).repeat(3, axis=1), other)


def test_cells_need_not_begin_at_the_corner_nor_be_squares():
    moved = AnchorLevel(FINE.anchors, FINE.probability, FINE.active, (10, 5), (20, 10))
    rows, columns = moved.cells_at((40, 60), 1.0)
    assert columns[0].tolist() == [0] * 20 + [1] * 20 + [2] * 20
    assert rows[:, 0].tolist() == [0] * 10 + [1] * 30
    assert centers_of([moved, COARSE]).tolist() == [[10, 5], [30, 15], [0, 0]]


def test_captions_tell_the_numbers(monkeypatch):
    grids = []
    monkeypatch.setattr(
        guided_anchors, "panel_grid", lambda rows, headers, width: grids.append((rows, headers))
    )
    draw_guided_anchors([IMAGE], [[FINE, COARSE]], top=2)
    ((row, bars), headers) = grids[0]
    assert len(row) == len(bars) == len(headers) == 3
    assert [panel.caption for panel in row] == [
        "2 of 3 anchors",
        "37.5 % of 8 cells active",
        "90 % between 0.31 and 2",  # of octaves -2, 1 and 1: -2 + 0.1 * 3 at 5 %
    ]


def test_the_most_probable_anchors_are_drawn():
    def colors(top):
        picture = draw_guided_anchors([IMAGE], [[FINE, COARSE]], top=top, width=700)
        drawn = picture[: picture.shape[0] - 50, : 700 // 3]  # without the bars
        return [bool((drawn == color).all(axis=2).any()) for color in rank_colors(3)]

    assert colors(3) == [True, True, True]
    # Of one only the first colour is there, which is that of the first of many.
    assert colors(1) == [True, False, False]


def test_an_image_without_an_active_cell_can_be_drawn():
    nothing = level(20, np.zeros((2, 3)), 10, 20)
    picture = draw_guided_anchors([IMAGE], [[nothing]], width=600)
    assert picture.shape[1] == 600 and picture.dtype == np.uint8


def test_every_image_needs_its_levels():
    with pytest.raises(ValueError, match="levels of 2 images, not of 1"):
        draw_guided_anchors([IMAGE], [[FINE], [FINE]])
    with pytest.raises(ValueError, match="no image"):
        draw_guided_anchors([], [])


def test_the_bar_explains_the_colours_of_the_map(monkeypatch):
    grids = []
    monkeypatch.setattr(guided_anchors, "panel_grid", lambda rows, *_, **__: grids.append(rows))
    draw_guided_anchors([IMAGE], [[FINE]])
    (row, bars) = grids[0]
    (probability, ratio), (shades, ratios) = row[1:], bars[1:]
    width = shades.image.shape[1]

    def close(one, other):
        return np.abs(one.astype(int) - other).max() <= 3

    # The first cell has a probability of one half, drawn as its square root, and a ratio of 2, one
    # of the two octaves between 1 and the end of the bar.
    assert close(probability.image[0, 0], shades.image[0, round(0.5**0.5 * width)])
    assert close(ratio.image[0, 0], ratios.image[0, round(0.75 * width)])
    # The third is not active: the image, dark and grey.
    dark = ratio.image[0, -1]
    assert dark.max() < 60 and dark.min() == dark.max()
