"""Curves of recall."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.colors import to_rgb

from cascade_rpn_d2.visualization import plot_recall_curves, recall_figure

THRESHOLDS = np.arange(0.5, 1.0, 0.05)
CURVES = {"RPN": np.linspace(90, 10, 10), "Cascade RPN": np.linspace(95, 60, 10)}


def test_lines_have_the_values_and_the_legend_their_average():
    axes = recall_figure(CURVES, THRESHOLDS, title="100 proposals").axes[0]
    for line, values in zip(axes.lines, CURVES.values(), strict=True):
        np.testing.assert_allclose(line.get_xydata(), np.stack((THRESHOLDS, values), axis=1))
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["RPN  (AR 50.0)", "Cascade RPN  (AR 77.5)"]
    assert axes.get_title() == "100 proposals" and "IoU" in axes.get_xlabel()


def test_the_picture_shows_every_line_and_leaves_no_figure_open():
    picture = plot_recall_curves(CURVES, THRESHOLDS, size=(320, 200))
    assert picture.shape == (200, 320, 3) and picture.dtype == np.uint8
    for line in recall_figure(CURVES, THRESHOLDS).axes[0].lines:
        color = np.round(np.array(to_rgb(line.get_color())) * 255)
        assert (np.abs(picture - color).max(axis=2) < 3).sum() > 50
    assert pyplot.get_fignums() == []


@pytest.mark.parametrize(
    ("curves", "message"),
    [
        ({}, "no curve"),
        ({"RPN": [1.0, 2.0]}, "'RPN' has 2 recalls for 10 IoU thresholds"),
        ({"RPN": [120.0] * 10}, "'RPN' must be in per cent"),
        ({"RPN": [float("nan")] * 10}, "'RPN' must be in per cent"),
    ],
)
def test_values_that_cannot_be_are_refused(curves, message):
    with pytest.raises(ValueError, match=message):
        plot_recall_curves(curves, THRESHOLDS)
