"""Recall against IoU and against the number of proposals."""

from __future__ import annotations

import numpy as np
import pytest

from cascade_rpn_d2.visualization import plot_recall, recall_pair_figure

THRESHOLDS = np.arange(0.5, 1.0, 0.05)
RECALLS = {"RPN": np.linspace(90, 10, 10), "Cascade RPN": np.linspace(95, 60, 10)}
AVERAGES = {"RPN": [(1, 5.0), (100, 50.0)], "Cascade RPN": [(1, 9.0), (100, 77.5)]}


def test_both_panels_hold_their_values():
    left, right = recall_pair_figure(RECALLS, THRESHOLDS, AVERAGES, number=100).axes
    for line, values in zip(left.lines, RECALLS.values(), strict=True):
        np.testing.assert_allclose(line.get_ydata(), values)
    for line, points in zip(right.lines, AVERAGES.values(), strict=True):
        np.testing.assert_allclose(line.get_xydata(), points)
    assert left.get_title() == "100 proposals an image" and right.get_xscale() == "log"
    colors = [[line.get_color() for line in axes.lines] for axes in (left, right)]
    assert colors[0] == colors[1]  # a method is the same in both
    assert right.get_ylim() == left.get_ylim() == (0, 100)


def test_the_picture_has_its_size():
    assert plot_recall(RECALLS, THRESHOLDS, AVERAGES, number=1, size=(600, 300)).shape[:2] == (
        300,
        600,
    )
    with pytest.raises(ValueError, match="no curve"):
        plot_recall({}, THRESHOLDS, {}, number=1)
