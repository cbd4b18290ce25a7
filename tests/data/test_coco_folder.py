"""COCO-format folders from the command line."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog, get_detection_dataset_dicts
from detectron2.evaluation import COCOEvaluator

from cascade_rpn_d2.data import (
    AnnotationFileError,
    find_dataset,
    num_classes,
    register_coco_folder,
)
from cascade_rpn_d2.data.coco_folder import split_spec


def test_registers_everything_from_the_file(write, content):
    spec = write(content)
    name = register_coco_folder(spec)
    metadata = MetadataCatalog.get(name)
    assert metadata.thing_classes == ["cat", "bird", "dog"]
    assert metadata.thing_dataset_id_to_contiguous_id == {5: 0, 17: 1, 90: 2}
    assert metadata.evaluator_type == "coco"
    assert f"{metadata.image_root}:{metadata.json_file}" == spec
    assert num_classes(name) == 3
    records = DatasetCatalog.get(name)
    assert [Path(r["file_name"]).is_file() for r in records] == [True] * 3
    # filter_empty drops images without a box from training, and keeps them for testing
    assert len(get_detection_dataset_dicts(name, filter_empty=True)) == 2
    assert len(get_detection_dataset_dicts(name, filter_empty=False)) == 3


def test_the_same_folder_twice(write, content):
    spec = write(content)
    name = register_coco_folder(spec)
    DatasetCatalog.get(name)[0]["proposal_boxes"] = "changed by a user"
    assert register_coco_folder(spec) == name
    assert "proposal_boxes" not in DatasetCatalog.get(name)[0]
    content["categories"].append({"id": 100, "name": "fish"})
    assert register_coco_folder(write(content)) == name
    assert num_classes(name) == 4, "a changed file must be read again"


def test_a_file_that_became_bad_leaves_the_dataset_as_it_was(write, content):
    name = register_coco_folder(write(content))
    with pytest.raises(AnnotationFileError):
        register_coco_folder(write('{"images": '))
    assert num_classes(name) == 3 and len(DatasetCatalog.get(name)) == 3


def test_two_folders_get_two_names(write, content):
    one, other = (register_coco_folder(write(content, folder)) for folder in ("one", "other"))
    assert one != other
    with pytest.raises(ValueError, match="is taken by another dataset"):
        register_coco_folder(write(content, "other"), name=one)


def test_a_name_of_ones_own(write, content):
    spec = write(content)
    assert register_coco_folder(spec, "pets") == "pets" == register_coco_folder(spec, "pets")


def test_dropped_boxes_give_one_warning_that_names_the_first(write, content, caplog):
    content["annotations"][1]["bbox"] = [50, 50, 5, 5]
    content["annotations"][2]["bbox"] = [1, 1, 0, 5]
    with caplog.at_level(logging.INFO, "cascade_rpn_d2"):
        name = register_coco_folder(write(content))
    (warning,) = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert "2 of 3 boxes" in warning
    assert "annotations[1] (id 2) of image b.png has bbox [50, 50, 5, 5]" in warning
    (summary,) = [r.getMessage() for r in caplog.records if "Registered" in r.getMessage()]
    assert "3 images (2 without a box), 1 boxes of 3 classes (cat, bird, dog); 2 boxes" in summary
    # the ground truth for evaluation is the file itself
    assert json.loads(Path(MetadataCatalog.get(name).json_file).read_text()) == content


def test_a_file_without_what_cocoeval_needs_is_completed_in_the_cache(write, content, cache):
    for annotation in content["annotations"]:
        del annotation["id"], annotation["area"], annotation["iscrowd"]
    name = register_coco_folder(write(content))
    json_file = Path(MetadataCatalog.get(name).json_file)
    assert cache in json_file.parents
    annotations = json.loads(json_file.read_text())["annotations"]
    assert [(a["id"], a["area"], a["iscrowd"]) for a in annotations] == [
        (1, 200, 0),
        (2, 1200, 0),
        (3, 100, 0),
    ]
    assert len(COCOEvaluator(name)._coco_api.anns) == 3


def test_missing_images_are_counted_and_the_first_named(write, content, tmp_path):
    spec = write(content)
    (tmp_path / "data/images/b.png").unlink()
    (tmp_path / "data/images/empty.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"2 of the 3 images .*\(b\.png, empty\.png\)"):
        register_coco_folder(spec)


def test_paths_may_contain_colons(write, content):
    spec = write(content, "a:b")
    images, labels = split_spec(spec)
    assert (images.name, labels.name) == ("images", "labels.json")
    assert "a:b" in str(images) and "a:b" in str(labels)
    register_coco_folder(spec)


def test_paths_are_made_absolute(write, content, tmp_path, monkeypatch):
    spec = write(content)
    monkeypatch.chdir(tmp_path)
    assert register_coco_folder("data/images:data/labels.json") == register_coco_folder(spec)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("{root}/images", "there is no colon"),
        ("{root}/images:{root}/none.json", r"annotation file .*none\.json does not exist"),
        ("{root}/none:{root}/labels.json", r"image folder .*none does not exist"),
        ("{root}/images:{root}/images", "annotation file .*images does not exist"),
        ("", "there is no colon"),
        (":", "annotation file"),
    ],
)
def test_a_bad_spec_says_what_to_write(write, content, tmp_path, spec, message):
    write(content)
    with pytest.raises(ValueError, match=message) as error:
        register_coco_folder(spec.format(root=tmp_path / "data"))
    assert "write images_dir:annotations.json" in str(error.value)


def test_a_dataset_is_found_by_its_name_or_its_folder(write, content):
    spec = write(content)
    assert find_dataset(spec) == register_coco_folder(spec)
    assert find_dataset("coco_2017_val") == "coco_2017_val"
    DatasetCatalog.register("of:colons", lambda: [])
    assert find_dataset("of:colons") == "of:colons"
    DatasetCatalog.remove("of:colons")
    with pytest.raises(ValueError, match="write images_dir:annotations.json"):
        find_dataset("nowhere:to_be.json")


def test_number_of_classes_of_an_unknown_dataset():
    with pytest.raises(ValueError, match="'nonsense'"):
        num_classes("nonsense")
    assert num_classes("coco_2017_train") == 80


def test_real_photographs(shared_dir):
    folder = shared_dir / "data/bccd"
    name = register_coco_folder(f"{folder / 'images'}:{folder / 'train.json'}")
    records = DatasetCatalog.get(name)
    assert (len(records), num_classes(name)) == (205, 3)
    assert MetadataCatalog.get(name).json_file == str(folder / "train.json")
