"""AP by IoU and by size."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from cascade_rpn_d2.visualization import plot_precision, precision_figure

BY_IOU = {"Faster": [(0.5, 60.0), (0.9, 10.0)], "CPM": [(0.5, 58.0), (0.9, 20.0)]}
BY_SIZE = {"Faster": {"small": 20.0, "large": None}, "CPM": {"small": 22.0, "large": 55.0}}


def test_a_line_and_a_bar_per_detector_in_one_colour():
    left, right = precision_figure(BY_IOU, BY_SIZE).axes
    for line, (name, points) in zip(left.lines, BY_IOU.items(), strict=True):
        np.testing.assert_array_equal(line.get_xydata(), points)
        assert line.get_label() == name
    assert left.get_ylim()[0] == 0
    faster, cpm = right.containers[0], right.containers[1]
    assert [bar.get_height() for bar in cpm] == [22, 55]
    assert faster[0].get_height() == 20 and np.isnan(faster[1].get_height())
    assert faster[0].get_facecolor()[:3] == pytest.approx(to_rgb(left.lines[0].get_color()))
    # Beside each other, around the mark of their size, without a gap.
    assert faster[0].get_x() + faster[0].get_width() == pytest.approx(cpm[0].get_x()) == 0
    assert [text.get_text() for text in right.texts] == ["20.0", "", "22.0", "55.0"]
    assert [text.get_text() for text in right.get_xticklabels()] == ["small", "large"]
    assert plot_precision(BY_IOU, BY_SIZE, size=(600, 300)).shape == (300, 600, 3)


def test_both_sides_are_of_the_same_detectors():
    for iou, size in (({}, {}), (BY_IOU, {"CPM": BY_SIZE["CPM"]})):
        with pytest.raises(ValueError, match="give both of the same detectors, one at least"):
            plot_precision(iou, size)
    with pytest.raises(ValueError, match="the same sizes of objects"):
        plot_precision(BY_IOU, {**BY_SIZE, "CPM": {"small": 22.0}})
