"""Numbers of proposals over their overlap."""

from __future__ import annotations

import numpy as np
import pytest

from cascade_rpn_d2.visualization import iou_counts_figure, plot_iou_counts

IOUS = [1.0, 0.75, 0.5]
COUNTS = {"RPN": [0.0, 5.0, 20.5], "GA-RPN": [0.5, 14.0, 41.0]}


def test_lines_rise_to_the_right():
    axes = iou_counts_figure(COUNTS, IOUS, title="words").axes[0]
    for line, values in zip(axes.lines, COUNTS.values(), strict=True):
        np.testing.assert_array_equal(line.get_xydata(), np.stack((IOUS, values), axis=1))
    assert axes.get_xlim() == (1.0, 0.5) and axes.get_ylim()[0] == 0
    assert [text.get_text() for text in axes.get_legend().get_texts()] == list(COUNTS)
    assert axes.get_title() == "words"


def test_the_picture_has_its_size():
    assert plot_iou_counts(COUNTS, IOUS, size=(400, 300)).shape == (300, 400, 3)
    with pytest.raises(ValueError, match="no line"):
        plot_iou_counts({}, IOUS)
    with pytest.raises(ValueError, match="'RPN' has 2 counts for 3 IoUs"):
        plot_iou_counts({"RPN": [1.0, 2.0]}, IOUS)
