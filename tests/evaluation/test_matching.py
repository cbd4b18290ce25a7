"""The vectorised matching equals COCOeval's, object by object."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.cocoeval import COCOeval

from cascade_rpn_d2.evaluation.matching import AREA_RANGES, IOU_THRESHOLDS, count_found

LIMITS = [1, 3, 10]


def as_cocoeval(ious: np.ndarray, ignore: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    """COCOeval's own matching of one image whose overlaps are given: (A, M, T) objects found."""
    num_proposals, num_objects = ious.shape
    evaluator = COCOeval(iouType="bbox")
    evaluator.params.useCats, evaluator.params.catIds = 0, [1]
    found = np.zeros((len(ignore), len(LIMITS), len(IOU_THRESHOLDS)), int)
    evaluator.ious = {(1, -1): ious}
    evaluator._dts[1, 1] = [
        {"id": i + 1, "score": -i, "area": 1.0, "image_id": 1, "category_id": 1}
        for i in range(num_proposals)
    ]
    for row, ignored in enumerate(ignore):
        evaluator._gts[1, 1] = [
            {"id": i + 1, "ignore": int(ignored[i]), "iscrowd": int(crowd[i]), "area": 1.0}
            for i in range(num_objects)
        ]
        for column, limit in enumerate(LIMITS):
            result = evaluator.evaluateImg(1, -1, [0, 1e10], limit)
            if result is not None:
                counted = (result["dtMatches"] > 0) & ~result["dtIgnore"]
                found[row, column] = counted.sum(axis=1)
    return found


@st.composite
def cases(draw):
    """Overlaps on a coarse grid, so that ties and exact thresholds are common."""
    num_proposals, num_objects = draw(st.integers(0, 14)), draw(st.integers(0, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    steps = draw(st.sampled_from([4, 20, 1000]))
    ious = rng.integers(0, steps + 1, (num_proposals, num_objects)) / steps
    crowd = rng.random(num_objects) < 0.3
    ignore = (rng.random((3, num_objects)) < 0.4) | crowd
    return ious, ignore, crowd


@given(cases())
@settings(max_examples=300, deadline=None)
def test_equals_cocoeval(case):
    np.testing.assert_array_equal(count_found(*case, LIMITS), as_cocoeval(*case))


def at(threshold: float) -> int:
    return int(np.flatnonzero(np.isclose(IOU_THRESHOLDS, threshold))[0])


def count(ious, ignore=None, crowd=None, limits=(100,)) -> np.ndarray:
    ious = np.array(ious, float)
    none = np.zeros(ious.shape[1], bool)
    crowd = none if crowd is None else np.array(crowd, bool)
    ignore = none if ignore is None else np.array(ignore, bool)
    return count_found(ious, (ignore | crowd)[None], crowd, limits)[0]


def test_a_better_proposal_keeps_its_object():
    # Both want object 0 more; the second has to be content with object 1 where that overlaps
    # enough.
    found = count([[0.9, 0.8], [0.9, 0.6]])[0]
    assert found[at(0.6)] == 2 and found[at(0.65)] == 1 and found[at(0.95)] == 0


def test_an_object_is_found_once():
    assert count([[0.9]] * 5)[0].max() == 1


def test_limits():
    found = count([[0.0, 0.0], [0.9, 0.0], [0.0, 0.9]], limits=(1, 2, 3))
    assert found[:, 0].tolist() == [0, 1, 2]


def test_an_object_that_counts_is_preferred_to_a_closer_ignored_one():
    assert count([[0.95, 0.55]], ignore=[1, 0])[0, at(0.55)] == 1


def test_an_ignored_object_takes_the_proposal_where_nothing_else_does():
    # Above 0.55 the first proposal goes to the ignored object; the second finds the other one.
    found = count([[0.95, 0.55], [0.0, 0.7]], ignore=[1, 0])[0]
    assert found[at(0.55)] == 1 and found[at(0.7)] == 1 and found[at(0.75)] == 0


def test_the_threshold_itself_is_enough():
    assert count([[IOU_THRESHOLDS[3]]])[0].tolist() == [1, 1, 1, 1, 0, 0, 0, 0, 0, 0]


def test_nothing_to_match():
    assert count(np.zeros((0, 3))).shape == (1, 10) and not count(np.zeros((0, 3))).any()
    assert not count(np.zeros((3, 0))).any()


def test_parameters_are_cocoevals():
    params = COCOeval(iouType="bbox").params
    assert np.array_equal(IOU_THRESHOLDS, params.iouThrs)
    assert [list(r) for r in AREA_RANGES.values()] == params.areaRng
    assert list(AREA_RANGES) == params.areaRngLbl


@pytest.mark.slow
def test_a_thousand_proposals_take_milliseconds():
    rng = np.random.default_rng(0)
    ious = rng.random((1000, 15)) ** 4  # 160 proposals an object above 0.5
    start = time.perf_counter()
    count_found(ious, np.zeros((4, 15), bool), np.zeros(15, bool), [100, 300, 1000])
    assert time.perf_counter() - start < 0.5
