"""Every flaw of an annotation file ends in one sentence or is counted."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest
from detectron2.structures import BoxMode
from hypothesis import given
from hypothesis import strategies as st

from cascade_rpn_d2.data.coco_fields import AnnotationFileError
from cascade_rpn_d2.data.coco_file import clip_box, read_coco_file
from cascade_rpn_d2.data.image_names import ImageFolder


@pytest.fixture
def read(tmp_path):
    def read_content(content):
        path = tmp_path / "labels.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return read_coco_file(path)

    return read_content


def test_a_good_file(read, content):
    coco = read(content)
    assert coco.categories == [(5, "cat"), (17, "bird"), (90, "dog")]
    assert [r["image_id"] for r in coco.records] == [3, 7, 9]
    first, second, empty = coco.records
    assert first["annotations"] == [
        {
            "bbox": [3.5, 4.5, 13.5, 14.5],
            "bbox_mode": BoxMode.XYXY_ABS,
            "category_id": 1,
            "iscrowd": 0,
        }
    ]
    assert [a["category_id"] for a in second["annotations"]] == [2, 0]
    assert empty["annotations"] == [] and (empty["width"], empty["height"]) == (10, 10)
    assert (coco.dropped, coco.clipped, coco.num_boxes) == ([], 0, 3)


def test_crowds_stay_marked(read, content):
    content["annotations"][0]["iscrowd"] = 1
    assert [a["iscrowd"] for a in read(content).records[1]["annotations"]] == [1, 0]


def test_a_box_with_a_broken_polygon_stays(read, content):
    content["annotations"][0]["segmentation"] = [[1, 2]]
    content["annotations"][1]["segmentation"] = [[]]
    assert read(content).num_boxes == 3


BAD_BOXES = [
    ([1, 2, 0, 5], "no area"),
    ([1, 2, 5, -1], "no area"),
    ([1e18, 0, 1e-3, 5], "no area"),
    ([40, 3, 5, 5], "outside the image of 40 x 30"),
    ([-9, 3, 9, 5], "outside"),
    ([1, 2, float("nan"), 5], "four finite numbers"),
    ([1, 2, float("inf"), 5], "four finite numbers"),
    ([1, 2, 10**400, 5], "four finite numbers"),
    ([1, 2, "3", 5], "four finite numbers"),
    ([1, 2, True, 5], "four finite numbers"),
    ([1, 2, 3], "four finite numbers"),
    ([], "four finite numbers"),
    (None, "four finite numbers"),
    ("box", "four finite numbers"),
]


@pytest.mark.parametrize(("bbox", "reason"), BAD_BOXES)
def test_a_bad_box_is_dropped_and_named_and_nothing_else(read, content, bbox, reason):
    content["annotations"].append(
        {"id": 77, "image_id": 7, "category_id": 5, "bbox": bbox, "area": 1, "iscrowd": 0}
    )
    coco = read(content)
    assert coco.num_boxes == 3
    (phrase,) = coco.dropped
    assert "annotations[3] (id 77) of image b.png" in phrase and reason in phrase


def test_a_box_partly_outside_is_clipped_and_counted(read, content):
    content["annotations"][1]["bbox"] = [-5, -6, 20, 100]
    coco = read(content)
    assert coco.records[1]["annotations"][1]["bbox"] == [0, 0, 15, 30]
    assert (coco.clipped, coco.dropped) == (1, [])


@given(st.tuples(*[st.floats(-50, 50)] * 4))
def test_a_clipped_box_lies_in_the_image_or_is_refused(bbox):
    box, flaw = clip_box(list(bbox), 30, 20)
    if flaw is None:
        assert 0 <= box[0] < box[2] <= 30 and 0 <= box[1] < box[3] <= 20
    else:
        x, y, w, h = bbox
        inside = min(x + w, 30) - max(x, 0) > 0 and min(y + h, 20) - max(y, 0) > 0
        assert not (w > 0 and h > 0 and inside)


def _without(content, key):
    del content[key]


def _edit(path, value):
    def edit(content):
        *parents, last = path
        for key in parents:
            content = content[key]
        if value is _DELETE:
            del content[last]
        else:
            content[last] = value

    return edit


_DELETE = object()
FLAWS = [
    (_edit(["images"], _DELETE), r"key 'images' must hold a list, but is missing"),
    (_edit(["annotations"], None), r"key 'annotations' .* holds something else"),
    (_edit(["categories"], {}), r"key 'categories' .* holds something else"),
    (_edit(["images"], []), r"empty list of images"),
    (_edit(["categories"], []), r"empty list of categories"),
    (_edit(["images", 1, "height"], _DELETE), r"images\[1\] lacks the key 'height'"),
    (_edit(["images", 1, "width"], 0), r"images\[1\] has width 0, .* positive"),
    (_edit(["images", 0, "file_name"], 5), r"images\[0\] has file_name 5"),
    (_edit(["images", 2], "x"), r"images\[2\] must be an object"),
    (_edit(["images", 1, "id"], 7), r"images\[1\] has id 7, which another one has too"),
    (_edit(["images", 1, "id"], "7"), r"ids of images mix"),
    (_edit(["categories", 2, "id"], 5), r"categories\[2\] has id 5, which another"),
    (_edit(["categories", 1, "name"], _DELETE), r"categories\[1\] lacks the key 'name'"),
    (_edit(["categories", 1, "id"], "x"), r"categories\[1\] has id 'x', .*: number the categ"),
    (_edit(["images", 1, "file_name"], _DELETE), r"images\[1\] lacks the key 'file_name'"),
    (_edit(["annotations", 2], []), r"annotations\[2\] must be an object"),
    (_edit(["annotations", 2, "image_id"], _DELETE), r"annotations\[2\] lacks the key 'image_id'"),
    (_edit(["annotations", 1, "image_id"], 99), r"annotations\[1\] has image_id 99, .* images"),
    (_edit(["annotations", 0, "category_id"], 1), r"annotations\[0\] has category_id 1, .* categ"),
    (_edit(["annotations", 1, "iscrowd"], "yes"), r"annotations\[1\] has iscrowd 'yes', .* 0 or 1"),
    (_edit(["annotations", 1, "iscrowd"], "0"), r"annotations\[1\] has iscrowd '0', .* 0 or 1"),
    (_edit(["annotations", 1, "iscrowd"], 2), r"annotations\[1\] has iscrowd 2, .* 0 or 1"),
    (
        _edit(["categories", 0, "name"], "\x1b[2J"),
        r"categories\[0\] has name '\\x1b.*without control",
    ),
    (_edit(["categories", 0, "name"], " \n"), r"categories\[0\] has name '', .* a text"),
    (_edit(["images", 1, "file_name"], "a\u202eb"), r"images\[1\] has file_name .*without control"),
    (_edit(["images", 1, "id"], 2**53), r"images\[1\] has id 9007199254740992, .*2\^53 - 1"),
    (_edit(["categories", 1, "id"], -(10**400)), r"categories\[1\] has id -1000.*2\^53 - 1"),
    (_edit(["images", 1, "width"], 10**400), r"images\[1\] has width 1000.* positive whole"),
]


@pytest.mark.parametrize(("flaw", "message"), FLAWS)
def test_a_malformed_record_is_named(read, content, flaw, message):
    flaw(content)
    with pytest.raises(AnnotationFileError, match=message) as error:
        read(content)
    assert "labels.json" in str(error.value) and "\n" not in str(error.value)
    assert re.search("add|correct|remove|unique|one kind|number the", str(error.value))


@pytest.mark.parametrize("text", ["", '{"images": [', "\x00", "[]", "3"])
def test_not_a_coco_file(read, text):
    with pytest.raises(
        AnnotationFileError, match=r"labels\.json is (empty|cut off|no JSON|not a COCO)"
    ):
        read(text)


def test_a_missing_file(tmp_path):
    with pytest.raises(AnnotationFileError, match=r"none\.json does not exist"):
        read_coco_file(tmp_path / "none.json")


def test_category_names_are_read_without_the_end_of_their_line(read, content):
    content["categories"][0]["name"] = " guide dog\r\n"
    assert read(content).categories[2] == (90, "guide dog")


def test_values_that_mean_what_is_left_out(read, content):
    for annotation in content["annotations"]:
        annotation |= {"iscrowd": None, "area": None}
    assert [a["iscrowd"] for r in read(content).records for a in r["annotations"]] == [0, 0, 0]


@pytest.mark.parametrize("area", [math.nan, math.inf, -0.5, "12", [], True, 10**400])
def test_an_area_that_is_none_is_as_good_as_missing(read, content, area):
    content["annotations"][2]["area"] = area
    coco = read(content)
    assert coco.areas_left_out == 1 and "area" not in coco.content["annotations"][2]


@pytest.mark.parametrize("folder", ["", "val2017/"])
def test_a_name_may_be_the_end_of_its_address(write, content, folder):
    for image in content["images"]:
        image["file_name"] = folder + Path(image["file_name"]).name
    spec = write(content)
    for image in content["images"]:
        image["coco_url"] = f"http://images.cocodataset.org/val2017/{Path(image['file_name']).name}"
        del image["file_name"]
    labels, images = Path(spec.partition(":")[2]), Path(spec.partition(":")[0])
    labels.write_text(json.dumps(content))
    names = [record["file_name"] for record in read_coco_file(labels, ImageFolder(images)).records]
    assert names == [folder + name for name in ("a.png", "b.png", "empty.png")]
    assert read_coco_file(labels).records[0]["file_name"] == "a.png"
    for address in ("http://x/", "x/" + "a" * 999, "http://x/../a.png", "\0", 5):
        content["images"][0]["coco_url"] = address
        labels.write_text(json.dumps(content))
        with pytest.raises((AnnotationFileError, FileNotFoundError), match="labels.json"):
            read_coco_file(labels, ImageFolder(images / "sub"))


def test_ids_that_fit_two_images_are_refused(read, content):
    for image, own in zip(content["images"], ("7", "3", "07"), strict=True):
        image["id"] = own
    with pytest.raises(AnnotationFileError, match=r"annotations\[0\] has image_id 7, .* images"):
        read(content)
    content["annotations"] = [content["annotations"][2] | {"image_id": "03"}]
    assert [len(r["annotations"]) for r in read(content).records] == [0, 1, 0]


def test_lists_in_lists_are_refused(read):
    with pytest.raises(AnnotationFileError, match="annotation file .*more than 64 deep"):
        read('{"images": ' + "[" * 100_000)


def test_whole_float_sizes_are_fine(read, content):
    content["images"][0]["width"] = 40.0
    assert read(content).records[1]["width"] == 40
