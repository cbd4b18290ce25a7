"""Data tests never touch the user's cache or leave datasets behind."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from cascade_rpn_d2.data import register_demo_dataset
from cascade_rpn_d2.data.cache import ENVIRONMENT


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache folder of the test's own."""
    path = tmp_path / "cache"
    monkeypatch.setenv(ENVIRONMENT, str(path))
    before = set(DatasetCatalog.list())
    register_demo_dataset()
    yield path
    for name in set(DatasetCatalog.list()) - before:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)
    monkeypatch.undo()
    register_demo_dataset()


@pytest.fixture
def content() -> dict:
    """A good annotation file: two images with boxes, one without, category ids with gaps."""
    images = [
        {"id": 7, "file_name": "b.png", "width": 40, "height": 30},
        {"id": 3, "file_name": "sub/a.png", "width": 20, "height": 50},
        {"id": 9, "file_name": "empty.png", "width": 10, "height": 10},
    ]
    boxes = [(7, 90, [1, 2, 10, 20]), (7, 5, [0, 0, 40, 30]), (3, 17, [3.5, 4.5, 10, 10])]
    annotations = [
        {
            "id": i + 1,
            "image_id": image,
            "category_id": category,
            "bbox": box,
            "area": box[2] * box[3],
            "iscrowd": 0,
        }
        for i, (image, category, box) in enumerate(boxes)
    ]
    categories = [
        {"id": 90, "name": "dog"},
        {"id": 5, "name": "cat"},
        {"id": 17, "name": "bird"},
    ]
    return {"images": images, "annotations": annotations, "categories": categories}


@pytest.fixture
def write(tmp_path):
    """Write an annotation file and its (grey) images; returns the ``images:annotations`` spec."""

    def write_folder(content, folder: str = "data") -> str:
        root: Path = tmp_path / folder
        root.mkdir(exist_ok=True)
        text = content if isinstance(content, str) else json.dumps(content)
        (root / "labels.json").write_text(text)
        if isinstance(content, dict) and isinstance(content.get("images"), list):
            for image in content["images"]:
                if not {"file_name", "width", "height"} <= set(image):
                    continue
                path = root / "images" / image["file_name"]
                path.parent.mkdir(parents=True, exist_ok=True)
                size = (int(image["height"]), int(image["width"]), 3)
                cv2.imwrite(str(path), np.full(size, 128, np.uint8))
        (root / "images").mkdir(exist_ok=True)
        return f"{root / 'images'}:{root / 'labels.json'}"

    return write_folder
