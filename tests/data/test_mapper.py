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


def test_a_depth_range_is_for_images_of_more_than_8_bits(mapper, record):
    eight = cv2.imread(record["file_name"], cv2.IMREAD_GRAYSCALE)
    record["file_name"] = record["file_name"].replace(".jpg", ".png")
    cv2.imwrite(record["file_name"], eight.astype(np.uint16) * 16)
    with pytest.raises(UnreadableImageError, match=r"picture\.png .* --depth-range 0 4095\.$"):
        mapper(record)
    reading = DatasetMapper(False, augmentations=[], image_format="BGR", depth_range=[0, 4080])
    np.testing.assert_array_equal(reading(record)["image"][0], eight)


def test_an_image_of_too_many_pixels_is_refused(record):
    reading = DatasetMapper(False, augmentations=[], image_format="BGR", max_pixels=4799)
    with pytest.raises(UnreadableImageError, match=r"has 80 x 60 pixels, .* --max-pixels 4800\.$"):
        reading(record)


def test_an_image_of_any_shape_keeps_a_pixel(record):
    cv2.imwrite(record["file_name"], np.zeros((2, 3000, 3), np.uint8))
    record |= {"width": 3000, "height": 2}
    record["annotations"][0]["bbox"] = [0, 0, 1500, 2]
    resize = T.ResizeShortestEdge(256, 448)
    sample = DatasetMapper(True, augmentations=[resize], image_format="BGR")(record)
    assert sample["image"].shape == (3, 1, 448)
    assert sample["instances"].gt_boxes.tensor.tolist() == [[0, 0, 224, 1]]


def test_an_augmentation_that_does_not_suit_an_image_names_it(record):
    flawed = DatasetMapper(True, augmentations=[T.Resize((0, 10))], image_format="BGR")
    with pytest.raises(ValueError, match=r"Cannot augment image .*picture\.jpg: height and width"):
        flawed(record)


def test_a_map_of_classes_is_resized_with_its_image(mapper, record, tmp_path):
    classes = np.arange(60 * 80).reshape(60, 80) // 1200
    cv2.imwrite(str(tmp_path / "classes.png"), classes)
    sample = mapper({**record, "sem_seg_file_name": str(tmp_path / "classes.png")})
    assert sample["sem_seg"].shape == (120, 160)
    assert sample["sem_seg"].unique().tolist() == [0, 1, 2, 3]
    assert "sem_seg_file_name" not in sample
