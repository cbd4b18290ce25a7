"""Images of datasets and their objects."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog
from detectron2.structures import BoxMode

from cascade_rpn_d2.engine.labelled_images import (
    choose_dataset,
    choose_images,
    classes_of,
    load_records,
    objects_of,
    pick_images,
    read_record,
)
from tests.engine.tiny_models import tiny_model


def test_images_are_chosen_evenly_from_those_with_few_objects():
    dataset = [{"annotations": [{}] * number} for number in (0, 3, 40, 5, 1, 2)]
    assert choose_images(dataset, 2) == [dataset[1], dataset[4]]
    assert choose_images(dataset, 9) == [dataset[i] for i in (1, 3, 4, 5)]
    assert choose_images(dataset[:1], 4) == dataset[:1]
    assert choose_images([{}], 4) == [{}]


def test_the_test_data_of_the_config_unless_others_are_given(tiny_data):
    config = tiny_model("tiny_rpn").config()
    assert choose_dataset(config) == "coco_2017_val"
    assert choose_dataset(config, "mine") == "mine"
    assert len(load_records(choose_dataset(config, tiny_data))) == 5
    config.dataloader.test.dataset.names = []
    with pytest.raises(ValueError, match="names no test data"):
        choose_dataset(config)


def test_datasets_that_cannot_be_loaded(monkeypatch, tmp_path):
    with pytest.raises(ValueError, match="registered as 'absent': give one"):
        load_records("absent")

    def missing():
        raise FileNotFoundError("no such file")

    for name, load in {"labelled_missing": missing, "labelled_empty": list}.items():
        DatasetCatalog.register(name, load)
    try:
        with pytest.raises(FileNotFoundError, match="DETECTRON2_DATASETS"):
            load_records("labelled_missing")
        with pytest.raises(ValueError, match="has no images"):
            load_records("labelled_empty")
    finally:
        for name in ("labelled_missing", "labelled_empty"):
            DatasetCatalog.remove(name)


def test_objects_are_boxes_and_no_crowds():
    record = {
        "annotations": [
            {"bbox": [1, 2, 3, 4], "bbox_mode": BoxMode.XYWH_ABS, "category_id": 7},
            {"bbox": [1, 2, 3, 4], "bbox_mode": BoxMode.XYXY_ABS, "category_id": 2, "iscrowd": 0},
            {"bbox": [0, 0, 9, 9], "bbox_mode": BoxMode.XYWH_ABS, "category_id": 2, "iscrowd": 1},
        ]
    }
    assert torch.equal(objects_of(record), torch.tensor([[1.0, 2, 4, 6], [1, 2, 3, 4]]))
    assert classes_of(record).tolist() == [7, 2]
    assert objects_of({}).shape == (0, 4) and classes_of({}).shape == (0,)


def test_an_image_must_have_the_size_that_its_record_says(tmp_path):
    cv2.imwrite(str(file := tmp_path / "a.png"), np.zeros((20, 30, 3), np.uint8))
    record = {"file_name": str(file), "height": 20, "width": 30}
    assert read_record(record).shape == (20, 30, 3)
    with pytest.raises(ValueError, match=r"a\.png"):
        read_record({**record, "height": 21})
    with pytest.raises(OSError, match="Cannot read image"):
        read_record({"file_name": str(tmp_path / "b.png")})


def test_images_are_picked_by_their_ids():
    records = [{"image_id": i} for i in (3, 5, "7")]
    assert pick_images(records, ["7", "3"]) == [records[2], records[0]]
    with pytest.raises(ValueError, match="has the id 4: its 3 images have ids such as 3, 5, 7"):
        pick_images(records, ["4"])
