"""Colours for numbers, and the bar that explains them."""

from __future__ import annotations

import numpy as np
import pytest

from cascade_rpn_d2.visualization import color_bar, map_colors

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def test_a_bar_has_its_colours_from_left_to_right_and_words_below():
    colors = np.array([RED, GREEN, BLUE], np.uint8)
    bar = color_bar(colors, {0.0: "low", 1.0: "high"}, 90)
    assert bar.shape[1] == 90
    assert [tuple(bar[0, column]) for column in (0, 29, 30, 59, 60, 89)] == [
        RED, RED, GREEN, GREEN, BLUE, BLUE
    ]  # fmt: skip
    words = (bar[20:] < 128).any(axis=(0, 2))
    assert words[:25].any() and words[-25:].any() and not words[35:55].any()
    with pytest.raises(ValueError, match="at least one colour"):
        color_bar(colors[:0], {}, 90)


def test_a_tick_stands_below_its_place():
    bar = color_bar(np.array([RED], np.uint8), {0.5: "", 1.0: ""}, 80)
    assert np.flatnonzero((bar[15] < 128).all(axis=1)).tolist() == [40, 79]


def test_numbers_beyond_the_scale_have_the_colour_of_its_end():
    colors = map_colors(np.array([-3.0, 0.0, 0.5, 1.0, 7.0]), "gray")
    assert colors.tolist() == [[0] * 3, [0] * 3, [128] * 3, [255] * 3, [255] * 3]
