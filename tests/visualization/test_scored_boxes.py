"""Bars are as long as what they stand for."""

from __future__ import annotations

import numpy as np
import pytest

from cascade_rpn_d2.visualization import ScoredBox, draw_scored_boxes, scored_boxes
from cascade_rpn_d2.visualization.panels import cell_size
from cascade_rpn_d2.visualization.proposals import GROUND_TRUTH
from cascade_rpn_d2.visualization.scored_boxes import DETECTION, IOU_COLOR, SCORE_COLORS

IMAGE = np.full((100, 150, 3), 60, np.uint8)


def scored(iou=0.5, **scores):
    return ScoredBox(IMAGE, [30, 30, 80, 70], [40, 30, 90, 70], iou, scores or {"fused": 0.75}, "x")


def panels_of(boxes, **options):
    rows = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scored_boxes, "panel_grid", lambda given, **_: rows.extend(given))
        draw_scored_boxes(boxes, **options)
    return rows


def test_bars_are_as_long_as_scores():
    scores = {"classification": 0.9, "ISM": 0.3, "fused": 0.6}
    ((panel,),) = panels_of([scored(0.5, **scores)], columns=1, width=400)
    picture = panel.image
    assert picture.shape[0] == picture.shape[1] == cell_size(400, 1)
    assert (picture == GROUND_TRUTH).all(axis=2).any() and (picture == DETECTION).all(axis=2).any()

    bars = picture[-4 * 20 :, 115:-40]  # without names and numbers
    full = 380 * (1 - 0.29) - 34

    def end(color):
        return 115 + np.nonzero((bars == color).all(axis=2).any(axis=0))[0].max() + 1

    start = 0.29 * 380
    for color, score in zip(SCORE_COLORS, scores.values(), strict=False):
        assert end(color) - start == pytest.approx(full * score, abs=1)
    assert end(IOU_COLOR) - start == pytest.approx(full * 0.5, abs=2)
    # The line of the IoU goes from its bar through those of all scores.
    at = round(start + full * 0.5) - 115
    assert (bars == IOU_COLOR).all(axis=2)[10:-3, at - 2 : at + 2].any(axis=1).all()


def test_detections_fill_rows():
    rows = panels_of([scored() for _ in range(5)], columns=3)
    assert [len(row) for row in rows] == [3, 3]
    assert [panel.caption for panel in rows[1]] == ["x", "x", ""]
    assert draw_scored_boxes([scored()], width=700).shape[1] == 700


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="no detection"):
        draw_scored_boxes([])
    with pytest.raises(ValueError, match="must have the scores fused"):
        draw_scored_boxes([scored(), scored(ISM=0.5)])
