"""The mapper names an image that cannot be read."""

from __future__ import annotations

import cv2
import detectron2.data.transforms as T
import numpy as np
import pytest
from detectron2.config import LazyCall as L
from detectron2.config import instantiate
from detectron2.data.detection_utils import SizeMismatchError
from detectron2.structures import BoxMode

from cascade_rpn_d2.data import DatasetMapper, UnreadableImageError, build_train_loader


@pytest.fixture
def record(tmp_path) -> dict:
    rng = np.random.default_rng(0)
    path = tmp_path / "picture.jpg"
    cv2.imwrite(str(path), rng.integers(0, 255, (60, 80, 3), np.uint8))
    boxes = [([10, 20, 30, 50], 0), ([40, 5, 70, 25], 1)]
    annotations = [
        {"bbox": box, "bbox_mode": BoxMode.XYXY_ABS, "category_id": 2, "iscrowd": crowd}
        for box, crowd in boxes
    ]
    return {
        "file_name": str(path),
        "image_id": 1,
        "width": 80,
        "height": 60,
        "annotations": annotations,
    }


@pytest.fixture
def mapper() -> DatasetMapper:
    lazy = L(DatasetMapper)(
        is_train=True,
        augmentations=[
            L(T.ResizeShortestEdge)(short_edge_length=120, max_size=400),
            L(T.RandomFlip)(prob=1.0),
        ],
        image_format="BGR",
        use_instance_mask=False,
    )
    return instantiate(lazy)


def test_maps_as_detectron2_does_and_leaves_out_crowds(mapper, record):
    sample = mapper(record)
    assert sample["image"].shape == (3, 120, 160)
    instances = sample["instances"]
    assert instances.gt_boxes.tensor.tolist() == [[100, 40, 140, 100]]
    assert instances.gt_classes.tolist() == [2]
    assert len(record["annotations"]) == 2, "the dataset dict must not be changed"


def _truncate(path: str) -> None:
    data = open(path, "rb").read()
    open(path, "wb").write(data[: len(data) // 2])


def _replace_by_text(path: str) -> None:
    open(path, "w").write("not an image")


@pytest.mark.parametrize(("damage", "num_workers"), [(_truncate, 1), (_replace_by_text, 0)])
def test_a_broken_image_is_named(mapper, record, damage, num_workers):
    damage(record["file_name"])
    loader = build_train_loader([record], mapper, 1, num_workers=num_workers)
    with pytest.raises(
        UnreadableImageError, match=r"Cannot read image .*picture\.jpg: it .*replace"
    ):
        next(iter(loader))


def test_a_missing_image_is_named(mapper, record):
    record["file_name"] += ".gone"
    with pytest.raises(UnreadableImageError, match=r"picture\.jpg\.gone"):
        mapper(record)


def test_other_errors_are_not_blamed_on_the_image(mapper, record):
    with pytest.raises(SizeMismatchError, match=r"picture\.jpg"):
        mapper({**record, "width": 81})
    record["annotations"][0]["bbox_mode"] = "wrong"
    with pytest.raises(Exception) as error:  # whatever detectron2 raises
        mapper(record)
    assert not isinstance(error.value, UnreadableImageError)
