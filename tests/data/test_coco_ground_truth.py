"""Evaluators read the file itself, or a copy with what it leaves out."""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path

import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from cascade_rpn_d2.data.coco_file import read_coco_file
from cascade_rpn_d2.data.coco_ground_truth import complete_for_cocoeval, ground_truth_file


def test_a_complete_file_is_evaluated_as_it_is(content):
    assert complete_for_cocoeval(content) == (content, [])
    content["annotations"][0]["bbox"] = [1, 2, 0, 0]  # no area: still a (never found) object
    assert complete_for_cocoeval(content) == (content, [])
    content["annotations"][0]["id"] = 2**53 - 1
    assert complete_for_cocoeval(content) == (content, [])


UNUSABLE = [None, 0, -4, 2, 2**53, 10**300, 1.0, 1.5, float("nan"), "1", "a", "", True, [1], {}]


@pytest.mark.parametrize("unusable", UNUSABLE, ids=repr)
def test_unusable_ids_are_numbered_anew(content, unusable):
    content["annotations"][0]["id"] = unusable  # the second has 2
    if unusable is None:
        del content["annotations"][0]["id"]
    before = copy.deepcopy(content)
    completed, changes = complete_for_cocoeval(content)
    assert [a["id"] for a in completed["annotations"]] == [1, 2, 3]
    assert len(changes) == 1 and "numbered anew" in changes[0]
    assert repr(content) == repr(before)
    for new, old in zip(completed["annotations"], content["annotations"], strict=True):
        assert {**new, "id": 0} == {**old, "id": 0}


def test_missing_fields_are_filled_in_and_unreadable_boxes_left_out(content):
    del content["annotations"][0]["area"], content["annotations"][1]["iscrowd"]
    content["annotations"][2]["bbox"] = None
    completed, changes = complete_for_cocoeval(content)
    found = [(a["id"], a["area"], a["iscrowd"]) for a in completed["annotations"]]
    assert found == [(1, 200, 0), (2, 1200, 0)]
    assert changes == [
        "area or iscrowd of 2 annotations are filled in",
        "1 annotations without a box are left out",
    ]


def test_the_area_of_a_huge_box_is_a_number(content):
    content["annotations"][0] |= {"bbox": [0, 0, 10**200, 10**200], "area": None}
    completed, _ = complete_for_cocoeval(content)
    assert completed["annotations"][0]["area"] == sys.float_info.max


def test_a_file_without_annotations_stays_so(content):
    del content["annotations"]
    assert complete_for_cocoeval(content) == (content, [])


@pytest.fixture
def ground_truth(tmp_path):
    def find(content, name: str = "labels.json", encoding: str = "utf-8") -> Path:
        path = tmp_path / name
        path.write_text(json.dumps(content), encoding=encoding)
        return ground_truth_file(path, read_coco_file(path))

    return find


def test_the_same_annotations_under_another_name_have_the_same_copy(ground_truth, content, cache):
    del content["annotations"][0]["id"]
    first = ground_truth(content)
    second = ground_truth(content, "renamed.json")
    assert first == second and cache in first.parents and first.is_file()
    first.unlink()
    assert ground_truth(content, "renamed.json").is_file(), "a copy that was deleted is made again"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("own", [int, str, float, lambda i: -i, lambda i: 2**53 - i], ids=str)
@pytest.mark.parametrize("other", [int, str, lambda i: f"{i:06d}", float], ids=str)
@pytest.mark.parametrize("annotation_id", [int, str, float, lambda i: 7], ids=str)
def test_a_perfect_detector_is_perfect_however_ids_are_written(
    ground_truth, content, encoding, own, other, annotation_id
):
    """``own`` as images and categories have them, ``other`` as annotations refer to them."""

    def referring(i):
        return other(i) if own in (int, float, str) else own(i)

    for image in content["images"]:
        image["id"] = own(image["id"])
    for category in content["categories"]:
        category["id"] = own(category["id"])
    for annotation in content["annotations"]:
        annotation["image_id"] = referring(annotation["image_id"])
        annotation["category_id"] = referring(annotation["category_id"])
        annotation["id"] = annotation_id(annotation["id"])
    truth = COCO(str(ground_truth(content, encoding=encoding)))
    kept = int if own in (float, str) else own  # ids of images stay texts
    detections = [
        {
            "image_id": str(image) if own is str else kept(image),
            "category_id": kept(category),
            "bbox": box,
            "score": 0.9,
        }
        for image, category, box in [
            (7, 90, [1, 2, 10, 20]),
            (7, 5, [0, 0, 40, 30]),
            (3, 17, [3.5, 4.5, 10, 10]),
        ]
    ]
    evaluation = COCOeval(truth, truth.loadRes(detections), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1)
