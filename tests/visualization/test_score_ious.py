"""IoU over score."""

from __future__ import annotations

import numpy as np
import pytest

from cascade_rpn_d2.visualization import plot_score_ious, score_ious_figure
from cascade_rpn_d2.visualization.score_ious import binned_means

SCORES = {"classification": [0.05, 0.9, 0.95], "fused": [0.5, 0.6, 1.0]}
IOUS = [0.6, 0.7, 0.9]


def test_a_panel_per_score():
    figure = score_ious_figure(SCORES, IOUS, titles={"fused": "words"})
    left, right = figure.axes
    for axes, scores in zip((left, right), SCORES.values(), strict=True):
        np.testing.assert_allclose(axes.collections[0].get_offsets(), np.stack((scores, IOUS), 1))
        assert axes.get_ylim() == (0.5, 1)
    assert left.get_title() == "classification" and right.get_title() == "words"
    low = score_ious_figure(SCORES, [0.2, 0.7, 0.9])
    assert low.axes[0].get_ylim() == (0.2, 1)
    assert plot_score_ious(SCORES, IOUS, size=(600, 300)).shape == (300, 600, 3)


def test_means_of_ranges_with_enough_detections():
    scores = [0.31] * 4 + [0.39] * 2 + [0.95] * 4 + [1.0]
    ious = [0.5] * 4 + [0.8] * 2 + [0.9] * 5
    centers, means = binned_means(scores, ious)
    assert centers == pytest.approx([(4 * 0.31 + 2 * 0.39) / 6, (4 * 0.95 + 1) / 5])
    assert means == pytest.approx([0.6, 0.9])
    assert binned_means(scores[:4], ious[:4]) == ([], [])


def test_every_detection_needs_its_score():
    with pytest.raises(ValueError, match="'fused' has 3 scores for 2 detections"):
        plot_score_ious({"fused": SCORES["fused"]}, IOUS[:2])
    for scores, ious in (({}, IOUS), (SCORES, [])):
        with pytest.raises(ValueError, match="no detection to plot, or no score"):
            plot_score_ious(scores, ious)
