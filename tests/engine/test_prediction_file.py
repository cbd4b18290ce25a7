"""Predicted boxes in the two formats that others read."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import Boxes, Instances
from pycocotools.coco import COCO

from cascade_rpn_d2.data import register_coco_folder
from cascade_rpn_d2.data.images import Frame, Source
from cascade_rpn_d2.engine.categories import Categories
from cascade_rpn_d2.engine.predict_inputs import Inputs, find_inputs
from cascade_rpn_d2.engine.prediction_file import PredictionFile
from tests.engine.tiny_data import write_dataset

BOXES = [[1.25, 2.0, 11.5, 22.0], [0.1, 0.2, 63.7, 64.0], [5.0, 5.0, 5.0, 9.0]]
MODEL = Categories(("dog", "cat"), (3, 90))


def found(classes: list[int] | None = None) -> Instances:
    instances = Instances((64, 64), pred_boxes=Boxes(torch.tensor(BOXES)))
    instances.scores = torch.tensor([0.9, 0.1, 0.05])
    if classes is not None:
        instances.pred_classes = torch.tensor(classes)
    return instances


def predicted(path, file_format, inputs, categories=MODEL, classes=(0, 1, 0)) -> object:
    """What is written for inputs whose first image has boxes and the others none."""
    file = PredictionFile(path, file_format, inputs, categories)
    for number, source in enumerate(inputs.sources):
        boxes = found(None if classes is None else list(classes))
        frame = Frame(source, 0, np.zeros((64, 64, 3), np.uint8))
        file.add(frame, boxes if number == 0 else boxes[:0])
    file.write()
    return json.loads(Path(path).read_text())


@pytest.fixture
def spec(tmp_path):
    """Images with the ids 0, 1, 2 of a file with the categories cat (1), dog (2) and cow (3)."""
    return write_dataset(tmp_path / "data", images=3, classes=("cat", "dog", "cow"))


def test_results_have_the_numbers_of_images_and_the_ids_of_the_training_data(spec, tmp_path):
    inputs = find_inputs([spec.rpartition(":")[0]])
    records = predicted(tmp_path / "new/x.json", "coco-results", inputs)
    assert records[0] == {
        "image_id": 1,
        "file_name": inputs.sources[0].path.as_posix(),
        "category_id": 3,
        "bbox": [1.25, 2.0, 10.25, 20.0],
        "score": 0.9,
    }
    assert [record["category_id"] for record in records] == [3, 90, 3]


def test_results_take_the_ids_of_an_annotation_file_by_name(spec, tmp_path):
    records = predicted(tmp_path / "x.json", "coco-results", find_inputs([spec]))
    assert [record["image_id"] for record in records] == [0, 0, 0]
    assert [record["category_id"] for record in records] == [2, 1, 2]
    with pytest.raises(ValueError, match="The model finds 'pig', which is no category of the anno"):
        predicted(tmp_path / "x.json", "coco-results", find_inputs([spec]), Categories(("pig",)))


@pytest.mark.parametrize("file_format", ["coco-results", "coco-dataset"])
def test_boxes_are_those_of_every_id_of_their_file(spec, tmp_path, file_format):
    inputs = find_inputs([spec])
    first, *others = inputs.sources
    inputs = replace(inputs, image_ids={first.path: [0, "x"], **{s.path: [9] for s in others}})
    content = predicted(tmp_path / "x.json", file_format, inputs)
    records = content if file_format == "coco-results" else content["annotations"]
    both = [[r | {"id": 0} for r in records if r["image_id"] == own] for own in (0, "x")]
    assert both[0] and [r | {"image_id": "x"} for r in both[0]] == both[1]
    if file_format == "coco-dataset":
        assert [image["id"] for image in content["images"]] == [0, "x", 9, 9]
        assert [a["id"] for a in records] == [1, 2, 3, 4]


def test_a_model_without_names_has_the_order_of_the_file(spec, tmp_path, caplog):
    records = predicted(tmp_path / "x.json", "coco-results", find_inputs([spec]), Categories())
    assert [record["category_id"] for record in records] == [1, 2, 1]
    assert "in the order of their ids" in caplog.text


def test_a_dataset_is_read_back_to_the_same_boxes(spec, tmp_path):
    inputs = find_inputs([spec.rpartition(":")[0]])
    content = predicted(tmp_path / "x.json", "coco-dataset", inputs)
    assert content["categories"] == [{"id": 3, "name": "dog"}, {"id": 90, "name": "cat"}]
    api = COCO(str(tmp_path / "x.json"))
    assert len(api.getAnnIds()) == 2  # the third has no area
    assert [a["score"] for a in api.loadAnns(api.getAnnIds())] == [0.9, 0.1]
    name = register_coco_folder(f"{inputs.root}:{tmp_path / 'x.json'}")
    records = DatasetCatalog.get(name)
    assert MetadataCatalog.get(name).thing_classes == ["dog", "cat"]
    assert [len(record["annotations"]) for record in records] == [2, 0, 0]
    assert [record["file_name"] for record in records] == [str(s.path) for s in inputs.sources]
    read = records[0]["annotations"]
    np.testing.assert_allclose([a["bbox"] for a in read], BOXES[:2], atol=1e-5)
    assert [a["category_id"] for a in read] == [0, 1]


def test_a_dataset_has_the_ids_and_categories_of_an_annotation_file(spec, tmp_path):
    content = predicted(tmp_path / "x.json", "coco-dataset", find_inputs([spec]))
    assert [image["id"] for image in content["images"]] == [0, 1, 2]
    assert [c["name"] for c in content["categories"]] == ["cat", "dog", "cow"]
    assert [a["category_id"] for a in content["annotations"]] == [2, 1]


def test_proposals_are_of_one_category(spec, tmp_path):
    content = predicted(tmp_path / "x.json", "coco-dataset", find_inputs([spec]), classes=None)
    assert content["categories"] == [{"id": 1, "name": "object"}]
    assert {a["category_id"] for a in content["annotations"]} == {1}


def test_classes_without_a_name_are_numbered(spec, tmp_path):
    inputs = find_inputs([spec.rpartition(":")[0]])
    content = predicted(tmp_path / "x.json", "coco-dataset", inputs, Categories())
    assert [c["name"] for c in content["categories"]] == ["class 1", "class 2"]


def test_a_dataset_is_of_images_and_a_format_is_one_of_two(tmp_path):
    inputs = Inputs([Source(Path("film.mp4"), Path("film.mp4"))], tmp_path)
    with pytest.raises(ValueError, match="frames of film.mp4 are no image files"):
        PredictionFile(tmp_path / "x.json", "coco-dataset", inputs, MODEL)
    with pytest.raises(ValueError, match="no format 'yolo': give one of coco-results, coco-data"):
        PredictionFile(tmp_path / "x.json", "yolo", inputs, MODEL)
