"""How scores go with IoUs, in numbers."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from cascade_rpn_d2.engine.score_quality import (
    border_table,
    correlate,
    correlations,
    quality_table,
    write_quality,
)
from cascade_rpn_d2.engine.scored_detections import ScoredDetections
from tests.engine.tiny_models import tiny_model

IOUS = np.array([0.5, 0.6, 0.7, 0.8])


def detections(cut=(False, False, True, True)):
    return ScoredDetections(
        images=3,
        image=np.zeros(4, np.int64),
        boxes=np.zeros((4, 4)),
        objects=np.zeros((4, 4)),
        classes=np.zeros(4, np.int64),
        ious=IOUS,
        cut=np.array(cut),
        scores={"classification": IOUS[::-1].copy(), "fused": IOUS**2},
    )


def test_correlations():
    assert correlate(IOUS, IOUS) == pytest.approx((1, 1))
    assert correlate(1 - IOUS, IOUS) == pytest.approx((-1, -1))
    bent = correlate(IOUS**20, IOUS)  # in the same order, but on no line
    assert 0.5 < bent.pearson < 0.95 and bent.spearman == pytest.approx(1)
    # Ranks 0.5, 0.5, 2, 3 beside 0, 1, 2, 3.
    expected = np.corrcoef([0.5, 0.5, 2, 3], [0, 1, 2, 3])[0, 1]
    assert correlate(np.array([0.1, 0.1, 0.5, 0.6]), IOUS).spearman == pytest.approx(expected)
    assert all(map(math.isnan, correlate(np.full(4, 0.5), IOUS)))
    assert all(map(math.isnan, correlate(IOUS[:1], IOUS[:1])))


def test_tables():
    found = detections()
    assert correlations(found)["classification"].pearson == pytest.approx(-1)
    lines = quality_table(found).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == [
        "classification", "fused", "true IoU",
    ]  # fmt: skip
    assert "-1.000" in lines[2] and "0.650" in lines[4]
    whole, cut = border_table(found).splitlines()[2:]
    assert [cell.strip() for cell in whole.split("|")[1:-1]] == [
        "whole", "2", "0.550", "0.750", "0.305",
    ]  # fmt: skip
    assert "cut by the border" in cut and "0.750" in cut
    assert len(border_table(detections((False,) * 4)).splitlines()) == 3


def test_values_are_written(tmp_path):
    path = tmp_path / "scores.json"
    write_quality(path, "data", tiny_model("tiny_cpm_rcnn"), detections())
    content = json.loads(path.read_text())
    assert content["dataset"] == "data" and content["detections"] == 4 and content["images"] == 3
    assert content["mean_iou"] == pytest.approx(0.65)
    assert content["scores"]["classification"]["spearman"] == pytest.approx(-1)
    assert content["scores"]["fused"]["bins"] == {"mean_score": [], "mean_iou": []}
    assert content["model"]["config"].endswith("tiny_cpm_rcnn.py")
