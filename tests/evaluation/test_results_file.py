"""Records as COCO's results, which its tools and people read."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools.coco import COCO

from cascade_rpn_d2.evaluation import DetectionEvaluator, ProposalRecallEvaluator
from cascade_rpn_d2.evaluation.results_file import results_path, shortest, write_coco_results

RECORDS = [
    {"image_id": 7, "category_id": 1, "bbox": [1.5, 2.0, 3.25, 4.0], "score": 0.9},
    {"image_id": "dürer\n", "category_id": 90, "bbox": [0.0, 0.0, 1.0, 1.0], "score": 0.1},
    {"image_id": 7, "category_id": 1, "bbox": [5.0, 5.0, 1.0, 1.0], "score": 0.05, "frame": 3},
]


@pytest.mark.parametrize("count", range(4))
def test_a_record_is_a_line_of_a_json_list(tmp_path, count):
    path = tmp_path / "results.json"
    path.write_text("of an older run")
    assert write_coco_results(path, iter(RECORDS[:count])) == count
    text = path.read_text()
    assert json.loads(text) == RECORDS[:count]
    lines = text.splitlines()
    assert (lines[0], lines[-1], len(lines)) == ("[", "]", count + 2)
    assert [json.loads(line.rstrip(",")) for line in lines[1:-1]] == RECORDS[:count]


def test_cocos_tools_read_it(tmp_path):
    truth = COCO()
    truth.dataset = {"images": [{"id": 7}], "categories": [{"id": 1}], "annotations": []}
    truth.createIndex()
    write_coco_results(tmp_path / "results.json", [RECORDS[0], RECORDS[2]])
    found = truth.loadRes(str(tmp_path / "results.json"))
    assert [a["bbox"] for a in found.loadAnns(found.getAnnIds())] == [
        [1.5, 2.0, 3.25, 4.0],
        [5.0, 5.0, 1.0, 1.0],
    ]


def test_records_that_end_in_an_error_leave_the_file_before(tmp_path):
    path = tmp_path / "results.json"
    path.write_text("before")

    def records():
        yield RECORDS[0]
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        write_coco_results(path, records())
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(OSError, match="none"):
        write_coco_results(tmp_path / "none/results.json", RECORDS)


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False)))
def test_numbers_are_short_and_the_same(values):
    found = shortest(np.array(values, np.float32))
    assert [np.float32(x) for x in found] == [np.float32(x) for x in values]
    assert all(type(x) is float for x in found)


def test_worked_numbers():
    values = np.array([0.1, 1 / 3, 16777216, 2.5e-8], np.float32)
    assert [repr(x) for x in shortest(values)] == ["0.1", "0.33333334", "16777216.0", "2.5e-08"]
    assert shortest([0.1]) == [0.1] and shortest([]) == []


def test_results_have_a_file_in_their_folder():
    assert results_path("out", "found", "_2") == "out/found_2.json"
    assert results_path(None, "found", "") is None


@pytest.mark.parametrize("kind", [DetectionEvaluator, ProposalRecallEvaluator])
def test_a_suffix_leads_to_no_other_folder(kind, tmp_path):
    with pytest.raises(ValueError, match="suffix is '/../config': it must have no '/'"):
        kind("cascade_rpn_demo_val", output_dir=str(tmp_path), suffix="/../config")
