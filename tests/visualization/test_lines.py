"""Lines of one number against another."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib import pyplot

from cascade_rpn_d2.visualization import lines_figure, plot_lines

LINES = {"a": [(1.0, 10.0), (100.0, 1000.0)], "b": [(1.0, 20.0)]}
WORDS = {"xlabel": "cells", "ylabel": "time (ms)"}


def test_lines_have_their_points_names_and_axes():
    axes = lines_figure(LINES, **WORDS, title="cpu", log_x=True).axes[0]
    for line, points in zip(axes.lines, LINES.values(), strict=True):
        np.testing.assert_allclose(line.get_xydata(), points)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b"]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "linear")
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("cells", "time (ms)")
    assert axes.get_title() == "cpu"


def test_the_picture_has_its_size_and_leaves_no_figure_open():
    picture = plot_lines(LINES, **WORDS, size=(320, 200))
    assert picture.shape == (200, 320, 3) and picture.dtype == np.uint8
    assert picture.min() < 100 and pyplot.get_fignums() == []


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ({}, "no line"),
        ({"a": []}, "'a' must have points"),
        ({"a": [(1.0, float("nan"))]}, "only finite"),
        ({"a": [(0.0, 1.0)]}, "'a' has a point that an axis of powers cannot show"),
    ],
)
def test_lines_that_cannot_be_drawn_are_refused(lines, message):
    with pytest.raises(ValueError, match=message):
        plot_lines(lines, **WORDS, log_x=True)
    if lines == {"a": [(0.0, 1.0)]}:
        plot_lines(lines, **WORDS, log_y=True)  # 0 is on the other axis
