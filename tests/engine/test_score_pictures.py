"""Which detections are shown, and in which order."""

from __future__ import annotations

import numpy as np
import pytest

from cascade_rpn_d2.engine import score_pictures
from cascade_rpn_d2.engine.score_pictures import choose_examples, draw_scores
from cascade_rpn_d2.engine.scored_detections import ScoredDetections

IOUS = np.array([0.9, 0.6, 0.7, 0.8, 0.5, 0.95])


def detections(sides=(30,) * 6, cut=(False,) * 6, scores=(0.9,) * 6):
    objects = np.array([[0.0, 0, side, 40] for side in sides])
    return ScoredDetections(
        images=2,
        image=np.array([0, 1] * 3),
        boxes=objects + 1,
        objects=objects,
        classes=np.array([0, 1] * 3),
        ious=IOUS,
        cut=np.array(cut),
        scores={"classification": np.array(scores), "fused": IOUS},
    )


@pytest.fixture
def shown(monkeypatch):
    boxes = []
    monkeypatch.setattr(
        score_pictures, "read_record", lambda record, reader: np.full((4, 4, 3), record)
    )
    monkeypatch.setattr(
        score_pictures, "draw_scored_boxes", lambda given, **options: boxes.extend(given)
    )
    return boxes


def test_examples_go_from_the_lowest_to_the_highest_iou():
    found, everything = detections(), np.arange(6)
    assert choose_examples(found, everything, 3).tolist() == [4, 2, 5]
    assert choose_examples(found, everything, 1).tolist() == [4]
    assert choose_examples(found, everything[:2], 3).tolist() == [1, 0]
    assert choose_examples(found, everything[:0], 3).tolist() == []


def test_large_objects_are_preferred_if_there_are_enough():
    found = detections(sides=(30, 30, 30, 30, 10, 10))
    assert choose_examples(found, np.arange(6), 3).tolist() == [1, 3, 0]
    assert set(choose_examples(found, np.arange(6), 6)) == set(range(6))


def test_a_row_of_whole_objects_and_one_of_cut_ones(shown):
    found = detections(cut=(False, False, True, True, False, True), scores=(0.9,) * 5 + (0.4,))
    draw_scores(found, [10, 20], class_names=["cat"], columns=2)
    assert [box.iou for box in shown] == [0.5, 0.9, 0.7, 0.8]  # 0.95 has too low a score
    assert [box.words for box in shown] == [
        "cat, whole", "cat, whole", "cat, cut by the border", "class 1, cut by the border",
    ]  # fmt: skip
    assert [int(box.image[0, 0, 0]) for box in shown] == [10, 10, 10, 20]
    assert shown[1].scores == {"classification": 0.9, "fused": 0.9}
    np.testing.assert_array_equal(shown[0].box, found.boxes[4])


def test_scores_too_low_to_be_shown(shown):
    with pytest.raises(
        ValueError, match="none of the 6 .* 0.95 or higher: give --score-threshold 0.90"
    ):
        draw_scores(detections(), [10, 20], score_threshold=0.95)
