"""Categories are matched by name, whatever their ids and their order."""

from __future__ import annotations

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from cascade_rpn_d2.data import register_coco_folder
from cascade_rpn_d2.data.categories import dataset_with_classes, original_name


@pytest.fixture
def name(write, content):
    """Classes cat (id 5), bird (17), dog (90)."""
    return register_coco_folder(write(content))


def test_equal_order_is_the_same_dataset(name):
    assert dataset_with_classes(name, ["cat", "bird", "dog"]) == name


def test_objects_are_in_the_class_of_their_name(name):
    matched = dataset_with_classes(name, ["dog", "cat", "bird"])
    before, after = DatasetCatalog.get(name), DatasetCatalog.get(matched)
    own, other = MetadataCatalog.get(name), MetadataCatalog.get(matched)
    assert other.thing_classes == ["dog", "cat", "bird"]
    assert other.thing_dataset_id_to_contiguous_id == {90: 0, 5: 1, 17: 2}
    assert other.json_file == own.json_file and other.evaluator_type == "coco"
    labels = [
        [metadata.thing_classes[a["category_id"]] for r in records for a in r["annotations"]]
        for metadata, records in ((own, before), (other, after))
    ]
    assert labels[0] == labels[1] and [r["image_id"] for r in after] == [3, 7, 9]
    assert dataset_with_classes(matched, ["cat", "bird", "dog"]) == name
    other = dataset_with_classes(matched, ["bird", "cat", "dog"])
    assert other.count("_by_name_") == 1 and original_name(other) == original_name(name) == name
    assert MetadataCatalog.get(other).thing_dataset_id_to_contiguous_id == {17: 0, 5: 1, 90: 2}
    assert dataset_with_classes(name, ["dog", "cat", "bird"]) == matched  # once more


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["cat", "dog"], r"of --test-data and of the model differ \('bird' is in one only"),
        (["cat", "cow", "dog"], r"\('bird' is in one only\): give data with .*'cat', 'cow', 'dog'"),
    ],
)
def test_other_categories_are_refused(name, classes, message):
    with pytest.raises(ValueError, match=message):
        dataset_with_classes(name, classes, "--test-data")


def test_a_dataset_without_names_is_left_alone():
    DatasetCatalog.register("nameless", lambda: [])
    MetadataCatalog.get("nameless").json_file = ""
    assert dataset_with_classes("nameless", ["cat"]) == "nameless"
