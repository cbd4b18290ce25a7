"""What remains of overlapping detections, on numbers that can be worked out by hand."""

from __future__ import annotations

import pytest
import torch
from detectron2.structures import Boxes, Instances

from cascade_rpn_d2.modeling import NMSMerge, SoftNMSMerge

# IoU with the first: 1, 0.6, 0.25, and 0 of the one that is elsewhere.
FIRST = (0.0, 0, 10, 8)
SAME, MOST, LITTLE, APART = FIRST, (0.0, 0, 10, 4.8), (6.0, 0, 16, 8), (50.0, 50, 60, 60)


def detections(*found: tuple[tuple[float, ...], float, int]) -> Instances:
    """Boxes, scores and classes."""
    boxes, scores, classes = zip(*found, strict=True) if found else ((), (), ())
    return Instances(
        (100, 100),
        pred_boxes=Boxes(torch.tensor(boxes).reshape(-1, 4)),
        scores=torch.tensor(scores),
        pred_classes=torch.tensor(classes, dtype=torch.int64),
    )


def remaining(merged: Instances) -> list[tuple[tuple[float, ...], float, int]]:
    boxes = [tuple(box) for box in merged.pred_boxes.tensor.tolist()]
    scores = [round(score, 5) for score in merged.scores.tolist()]
    return list(zip(boxes, scores, merged.pred_classes.tolist(), strict=True))


def test_linear_decay():
    merged = SoftNMSMerge()(
        detections(
            (LITTLE, 0.5, 0), (MOST, 0.8, 0), (FIRST, 0.9, 0), (MOST, 0.7, 1), (SAME, 0.6, 0)
        )
    )
    # 0.8 * (1 - 0.6); the one in the same place is left with nothing, another class untouched.
    assert remaining(merged) == [
        (FIRST, 0.9, 0),
        (pytest.approx(MOST), 0.7, 1),
        (LITTLE, 0.5, 0),
        (pytest.approx(MOST), 0.32, 0),
    ]


def test_gaussian_decay():
    merge = SoftNMSMerge(method="gaussian", sigma=0.5)
    merged = merge(detections((FIRST, 0.9, 0), (LITTLE, 0.5, 0), (APART, 0.4, 0)))
    assert remaining(merged) == [
        (FIRST, 0.9, 0),
        (LITTLE, pytest.approx(0.5 * 2.718281828**-0.125, abs=1e-5), 0),
        (APART, 0.4, 0),
    ]


def test_low_scores_go_before_the_decay_and_are_not_missed_after_it():
    found = [(FIRST, 0.9, 0), (MOST, 0.04, 0), (APART, 0.03, 0)]
    # 0.04 * (1 - 0.6) = 0.016 is below the threshold of 0.03, which is of scores that come in.
    assert [score for _, score, _ in remaining(SoftNMSMerge()(detections(*found)))] == [0.9, 0.016]
    merged = SoftNMSMerge(min_score=0.02, score_threshold=0.0)(detections(*found))
    assert [score for _, score, _ in remaining(merged)] == [0.9, 0.03]


def test_plain_nms_keeps_scores():
    found = detections((MOST, 0.8, 0), (FIRST, 0.9, 0), (MOST, 0.7, 1), (LITTLE, 0.2, 0))
    expected = [(FIRST, 0.9, 0), (pytest.approx(MOST), 0.7, 1), (LITTLE, 0.2, 0)]
    assert remaining(NMSMerge(iou_threshold=0.5)(found)) == expected
    assert len(NMSMerge(iou_threshold=0.7)(found)) == 4
    assert len(NMSMerge(iou_threshold=0.5, score_threshold=0.2)(found)) == 2


@pytest.mark.parametrize("merge", [NMSMerge(topk=2), SoftNMSMerge(topk=2)])
def test_the_best_are_kept(merge):
    # The second by its score before the merge goes, or is the last one after it.
    merged = merge(detections((FIRST, 0.9, 0), (MOST, 0.8, 0), (LITTLE, 0.33, 0), (APART, 0.34, 0)))
    assert remaining(merged) == [(FIRST, 0.9, 0), (APART, 0.34, 0)]


@pytest.mark.parametrize("merge", [NMSMerge(), SoftNMSMerge(), SoftNMSMerge("gaussian")])
def test_nothing_found(merge):
    merged = merge(detections())
    assert len(merged) == 0 and merged.image_size == (100, 100)
    assert merged.pred_boxes.tensor.shape == (0, 4)
    assert merged.pred_classes.dtype == torch.int64


@pytest.mark.parametrize("merge", [NMSMerge(), SoftNMSMerge()])
def test_what_is_given_stays_as_it_is(merge):
    given = detections((MOST, 0.8, 0), (FIRST, 0.9, 0), (LITTLE, 0.01, 0))
    before = remaining(given)
    merge(given)
    assert remaining(given) == before


@pytest.mark.parametrize(
    ("merge", "options", "message"),
    [
        (NMSMerge, {"iou_threshold": 1.5}, r"iou_threshold=1\.5"),
        (NMSMerge, {"topk": 0}, "topk must be a positive integer, not 0"),
        (SoftNMSMerge, {"score_threshold": -1}, "score_threshold=-1"),
        (SoftNMSMerge, {"topk": 2.5}, r"topk must be a positive integer, not 2\.5"),
        (SoftNMSMerge, {"method": "cubic"}, "'linear' or 'gaussian', not 'cubic'"),
        (SoftNMSMerge, {"sigma": 0}, "sigma must be positive .* sigma=0"),
        (SoftNMSMerge, {"min_score": -1}, "min_score not negative.*min_score=-1"),
    ],
)
def test_values_that_cannot_be(merge, options, message):
    with pytest.raises(ValueError, match=message):
        merge(**options)
