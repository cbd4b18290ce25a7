"""COCO-format folders from the command line."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog, get_detection_dataset_dicts
from detectron2.evaluation import COCOEvaluator
from PIL import Image

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


def test_images_outside_the_folder_are_taken_when_asked(write, content):
    content["images"][0]["file_name"] = "../outside.png"
    spec = write(content)
    with pytest.raises(ValueError, match="leads out of the image folder"):
        register_coco_folder(spec)
    records = DatasetCatalog.get(register_coco_folder(spec, allow_outside_images=True))
    assert [Path(r["file_name"]).is_file() for r in records] == [True] * 3


def test_sizes_that_the_file_leaves_out_are_those_of_the_images(write, content, caplog):
    spec = write(content)
    del content["images"][0]["width"]
    content["images"][1]["height"] = None
    (Path(spec.rpartition(":")[2])).write_text(json.dumps(content))
    with caplog.at_level(logging.INFO, "cascade_rpn_d2"):
        records = DatasetCatalog.get(register_coco_folder(spec))
    assert [(r["width"], r["height"]) for r in records] == [(20, 50), (40, 30), (10, 10)]
    assert "the sizes of 2 images are those of their files" in caplog.text
    content["images"][0]["file_name"] = "broken.png"
    (Path(spec.rpartition(":")[0]) / "broken.png").write_text("words")
    (Path(spec.rpartition(":")[2])).write_text(json.dumps(content))
    with pytest.raises(OSError, match=r"Cannot read image .*broken\.png: it is no image"):
        register_coco_folder(spec)


def test_images_that_exif_turns_and_whose_sizes_are_read_are_counted(write, content, caplog):
    spec = write(content)
    images, labels = spec.split(":")
    exif = Image.Exif()
    exif[0x0112] = 3
    for name in ("b.png", "empty.png"):
        Image.open(Path(images, name)).save(Path(images, name), exif=exif)
    register_coco_folder(spec)
    assert not caplog.records  # whose sizes are stated are compared with their files
    for image in content["images"]:
        del image["width"]
    Path(labels).write_text(json.dumps(content))
    register_coco_folder(spec)
    (warning,) = caplog.messages
    assert "2 of those images are turned by their EXIF data" in warning
    assert "exiftool -Orientation=" in warning


def test_areas_that_are_none_are_those_of_the_boxes(write, content, caplog):
    content["annotations"][0]["area"] = "200"
    content["annotations"][1]["area"] = -1
    with caplog.at_level(logging.INFO, "cascade_rpn_d2"):
        name = register_coco_folder(write(content))
    assert "area of 2 annotations is no number of at least 0" in caplog.text
    annotations = json.loads(Path(MetadataCatalog.get(name).json_file).read_text())["annotations"]
    assert [a["area"] for a in annotations] == [200, 1200, 100]


def test_a_file_without_annotations_is_one_of_test_images(write, content, caplog):
    assert MetadataCatalog.get(register_coco_folder(write(content))).has_annotations
    content["annotations"] = []  # images on which nothing is to be found
    assert MetadataCatalog.get(register_coco_folder(write(content))).has_annotations
    del content["annotations"]
    with caplog.at_level(logging.INFO, "cascade_rpn_d2"):
        name = register_coco_folder(write(content))
    assert not MetadataCatalog.get(name).has_annotations
    assert "3 images of test data without annotations, 3 classes (cat, bird, dog)" in caplog.text
    assert [r["annotations"] for r in DatasetCatalog.get(name)] == [[], [], []]
    assert not COCOEvaluator(name)._do_evaluation


def test_categories_of_one_name_are_told_apart(write, content, caplog):
    names = ["dog", "dog (5)", "dog"]  # of the ids 90, 5 and 17
    for category, name in zip(content["categories"], names, strict=True):
        category["name"] = name
    name = register_coco_folder(write(content))
    classes = MetadataCatalog.get(name).thing_classes
    assert classes == ["dog (5)", "dog (17)", "dog (90)"]
    (warning,) = [r.getMessage() for r in caplog.records if "are named" in r.getMessage()]
    assert "2 categories are named 'dog'; they are told apart as 'dog (17)', 'dog (90)'" in warning


def _warnings_of_format(write, content, boxes, caplog) -> list[str]:
    first = content["annotations"][0] | {"image_id": 7}
    content["annotations"] = [
        first | {"id": i, "bbox": list(box)} for i, box in enumerate(boxes, start=1)
    ]
    register_coco_folder(write(content))
    return [r.getMessage() for r in caplog.records if "may be" in r.getMessage()]


@pytest.mark.parametrize("outside", [3, 2, 1, 0])
def test_boxes_that_may_be_corners_are_said_to_be(write, content, caplog, outside):
    """On an image of 40 x 30."""
    corners = [(20, 15, 30, 25), (30, 10, 38, 20), (15, 20, 25, 29)][:outside]
    boxes = [*corners, *[(1, 1, 10, 10)] * (4 - outside)]
    warnings = _warnings_of_format(write, content, boxes, caplog)
    assert len(warnings) == (outside >= 2)
    for warning in warnings:
        assert f"{outside} of 4 boxes reach over the right or lower border" in warning
        assert "corners (x0, y0, x1, y1) instead of (x, y, width, height)" in warning
        assert "if so, write x, y, x1 - x0, y1 - y0" in warning


def test_boxes_that_end_a_pixel_outside_are_not_said_to_be_corners(write, content, caplog):
    boxes = [(-1, -1, 42, 32), (20.5, 0, 20.5, 30.5), (-30, -20, 40, 30)]
    assert not _warnings_of_format(write, content, boxes, caplog)


def test_boxes_in_fractions_of_the_image_are_said_to_be(write, content, caplog):
    (warning,) = _warnings_of_format(write, content, [(0.1, 0.2, 0.3, 0.8)] * 3, caplog)
    assert "fractions of the image instead of pixels" in warning
    caplog.clear()
    boxes = [(0.1, 0.2, 0.3, 0.8), (1, 2, 3, 4)]
    assert not _warnings_of_format(write, content, boxes, caplog)


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
        (
            "{root}/images",
            "there is no colon .*: write images_dir:annotations.json, not '.*images'",
        ),
        ("", "there is no colon .*: write images_dir:annotations.json, not ''"),
        ("{root}/images:{root}/none.json", "the annotation file {root}/none.json does not exist"),
        ("{root}/none:{root}/labels.json", "the image folder {root}/none does not exist"),
        (
            "{root}/labels.json:{root}/labels.json",
            "the image folder {root}/labels.json is a file, where images_dir:annotations.json has "
            "a folder",
        ),
        (
            "{root}/labels.json:{root}/images",
            "the annotation file {root}/images is a folder, where images_dir:annotations.json has "
            "a file",
        ),
        (":", "the annotation file .* is a folder, where images_dir:annotations.json has a file"),
    ],
)
def test_a_bad_spec_is_one_true_sentence(write, content, tmp_path, spec, message):
    write(content)
    root = tmp_path / "data"
    with pytest.raises(ValueError, match=rf"^{message.format(root=root)}\.$"):
        register_coco_folder(spec.format(root=root))


def test_a_dataset_is_found_by_its_name_or_its_folder(write, content):
    spec = write(content)
    assert find_dataset(spec) == register_coco_folder(spec)
    assert find_dataset("coco_2017_val") == "coco_2017_val"
    DatasetCatalog.register("of:colons", lambda: [])
    assert find_dataset("of:colons") == "of:colons"
    DatasetCatalog.remove("of:colons")
    with pytest.raises(ValueError, match=r"annotation file .*to_be\.json does not exist\."):
        find_dataset("nowhere:to_be.json")


def test_number_of_classes_of_an_unknown_dataset():
    with pytest.raises(ValueError, match="'nonsense'"):
        num_classes("nonsense")
    assert num_classes("coco_2017_train") == 80


def test_real_photographs(shared_dir, caplog, tmp_path):
    folder = shared_dir / "data/bccd"
    name = register_coco_folder(f"{folder / 'images'}:{folder / 'train.json'}")
    records = DatasetCatalog.get(name)
    assert (len(records), num_classes(name)) == (205, 3)
    assert MetadataCatalog.get(name).json_file == str(folder / "train.json")
    assert "corners" not in caplog.text
    content = json.loads((folder / "train.json").read_text())
    for annotation in content["annotations"]:
        x, y, width, height = annotation["bbox"]
        annotation["bbox"] = [x, y, x + width, y + height]
    (tmp_path / "corners.json").write_text(json.dumps(content))
    register_coco_folder(f"{folder / 'images'}:{tmp_path / 'corners.json'}")
    assert "may be corners" in caplog.text
