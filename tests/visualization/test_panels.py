"""Grids put every picture into its place."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from cascade_rpn_d2.visualization import Key, Panel, panel_grid
from cascade_rpn_d2.visualization.canvas import text_width
from cascade_rpn_d2.visualization.panels import cell_size, fitting_scale, fitting_size

RED, GREEN, BLUE, GREY = (255, 0, 0), (0, 255, 0), (0, 0, 255), (90, 90, 90)


def plain(color, height=50, width=50):
    return np.full((height, width, 3), color, np.uint8)


def extent(grid, color):
    """First and last row and column of a colour."""
    ys, xs = np.nonzero((grid == color).all(axis=2))
    return ys.min(), ys.max() + 1, xs.min(), xs.max() + 1


def test_panels_stand_in_rows_and_columns():
    rows = [
        [Panel(plain(RED)), Panel(plain(GREEN))],
        [Panel(plain(BLUE), "a caption"), Panel(plain(GREY))],
    ]
    grid = panel_grid(rows, width=430)
    cell = cell_size(430, 2)
    red, green, blue, grey = (extent(grid, c) for c in (RED, GREEN, BLUE, GREY))
    assert grid.shape[1] == 430 and cell == 200
    for top, bottom, left, right in (red, green, blue, grey):
        assert (bottom - top, right - left) == (cell, cell)
    assert red[:2] == green[:2] and blue[:2] == grey[:2] and red[1] < blue[0]
    assert red[2:] == blue[2:] and green[2:] == grey[2:] and red[3] < green[2]
    assert red[2] == 430 - green[3]  # equal margins


@pytest.mark.parametrize(("height", "width"), [(50, 100), (100, 50)])
def test_a_picture_keeps_its_shape_and_is_centred_in_its_cell(height, width):
    grid = panel_grid([[Panel(plain(RED, height, width)), Panel(plain(GREEN))]], width=430)
    top, bottom, left, right = extent(grid, RED)
    square = extent(grid, GREEN)
    assert (bottom - top) * width == (right - left) * height
    assert top + bottom == square[0] + square[1]
    assert (left + right) / 2 == 430 / 2 - (square[2] + square[3] - 430) / 2


def test_a_picture_that_fits_is_not_resampled():
    image = np.random.default_rng(0).integers(0, 256, (200, 120, 3), np.uint8)
    assert fitting_scale(image, 200) == 1.0
    grid = panel_grid([[Panel(image), Panel(plain(GREEN))]], width=430)
    middle = 430 - (sum(extent(grid, GREEN)[2:]) // 2)
    top = extent(grid, GREEN)[0]
    np.testing.assert_array_equal(grid[top : top + 200, middle - 60 : middle + 60], image)


def test_headers_captions_and_legend_take_lines_of_their_own():
    def height(**options):
        caption = options.pop("caption", "")
        return panel_grid([[Panel(plain(RED), caption)]], width=300, **options).shape[0]

    legend = [(GREEN, "good"), (BLUE, "poor")]
    assert height() < height(caption="words")
    assert height() < height(headers=["words"])
    assert height() < height(legend=legend) < height(legend=legend * 10)
    grid = panel_grid([[Panel(plain(RED))]], legend=legend, width=300)
    bottom = extent(grid, RED)[1]
    assert extent(grid, GREEN)[0] > bottom and extent(grid, GREEN)[3] < extent(grid, BLUE)[2]


@pytest.mark.parametrize(
    ("rows", "headers", "message"),
    [
        ([], [], "at least one panel"),
        ([[]], [], "at least one panel"),
        ([[0, 0], [0]], [], r"equally long, not \[1, 2\]"),
        ([[0, 0]], ["one"], r"equally long, not \[1, 2\]"),
    ],
)
def test_a_grid_that_is_none_is_refused(rows, headers, message):
    rows = [[Panel(plain(RED)) for _ in row] for row in rows]
    with pytest.raises(ValueError, match=message):
        panel_grid(rows, headers)


def test_a_grid_too_narrow_is_refused():
    with pytest.raises(ValueError, match="2 columns cannot be 40 pixels wide"):
        panel_grid([[Panel(plain(RED))] * 2], width=40)


def test_a_legend_may_explain_dots_and_dashes():
    def marked(mark):
        legend = [Key(GREEN, "words", mark)]
        return panel_grid([[Panel(plain(RED))]], legend=legend, width=300)

    dot, box = (extent(marked(mark), GREEN) for mark in ("dot", "box"))
    assert dot[1] - dot[0] == dot[3] - dot[2] < box[3] - box[2]
    dashes, line = ((marked(mark) == GREEN).all(axis=2).sum() for mark in ("dashes", "box"))
    assert 0.3 * line < dashes < 0.8 * line


def test_words_are_made_to_fit_their_column():
    assert fitting_size("short", 200, 15) == 15
    words = "a heading of many words"
    size = fitting_size(words, 150, 15, bold=True)
    assert 8 < size < 15
    assert text_width(words, size, True) <= 150 < text_width(words, size + 1, True)
    assert fitting_size(words * 9, 150, 15) == 8


def test_a_larger_grid_is_the_same_in_more_detail():
    def grid(width: int):
        scale = width / 1000
        panel = plain(GREY, round(100 * scale), round(200 * scale))
        legend = [Key(RED, "boxes"), Key(BLUE, "dashes", "dashes"), Key(GREEN, "dots", "dot")]
        return panel_grid([[Panel(panel, "caption")]], ["Header"], legend, width)

    small, large = grid(1000), grid(4000)
    assert large.shape[0] == pytest.approx(4 * small.shape[0], abs=8)
    height = small.shape[0]
    shrunk = cv2.resize(large, (1000, height), interpolation=cv2.INTER_AREA)
    assert np.abs(shrunk.astype(float) - small).mean() < 2
