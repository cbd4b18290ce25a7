"""Detections of objects with their scores."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from cascade_rpn_d2.engine import scored_detections
from cascade_rpn_d2.engine.scored_detections import score_detections
from tests.engine.grid_scenes import SIZE, made_up, record_of

WHOLE, CUT, NEARLY = (10.0, 10, 40, 40), (60.0, 10, 98.5, 40), (60.0, 10, 97, 40)
SCORES = {"classification": [0.9, 0.6, 0.3], "fused": [0.8, 0.7, 0.2]}


@pytest.fixture
def look_at(monkeypatch):
    """Detections of given traces on given images."""

    def run(traces, records, **options):
        traces = iter(traces)
        monkeypatch.setattr(scored_detections, "trace_grid", lambda *_: next(traces))
        monkeypatch.setattr(scored_detections, "read_record", lambda *_: np.zeros((*SIZE, 3)))
        return score_detections(SimpleNamespace(reader=None), records, **options)

    return run


def test_only_detections_of_an_object_count(look_at):
    boxes = [WHOLE, (10.0, 10, 40, 25), (70.0, 42, 90, 58)]
    traces = [made_up([boxes, boxes], **SCORES) for _ in range(3)]
    records = [record_of(WHOLE), record_of(), record_of(WHOLE, classes=[1])]
    found = look_at(traces, records)
    assert found.images == 3 and len(found) == 2
    assert found.image.tolist() == [0, 0] and found.ious.tolist() == [1, 0.5]
    assert {name: x.round(3).tolist() for name, x in found.scores.items()} == {
        "classification": [0.9, 0.6],
        "fused": [0.8, 0.7],
    }
    np.testing.assert_array_equal(found.objects, [WHOLE, WHOLE])
    np.testing.assert_array_equal(found.boxes, boxes[:2])
    traces = [made_up([boxes, boxes], **SCORES)]
    assert len(look_at(traces, records[:1], min_iou=0.51)) == 1


def test_objects_at_the_border_are_cut(look_at):
    boxes = [WHOLE, CUT, NEARLY]
    records = [record_of(box) for box in boxes]
    traces = [made_up([[box], [box]], fused=[0.5]) for box in boxes]
    assert look_at(traces, records).cut.tolist() == [False, True, False]


def test_no_detection_of_an_object(look_at):
    trace = made_up([[WHOLE], [WHOLE]], fused=[0.5])
    with pytest.raises(ValueError, match="its class by 0.5 on 1 images: give trained weights"):
        look_at([trace], [record_of()])
    with pytest.raises(ValueError, match=r"min_iou is in \(0, 1\], not 0"):
        look_at([trace], [record_of(WHOLE)], min_iou=0)
