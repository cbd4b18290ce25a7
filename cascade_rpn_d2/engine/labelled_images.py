"""Images of a registered dataset and their objects, one at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from detectron2.data import DatasetCatalog
from detectron2.data.detection_utils import check_image_size
from detectron2.structures import BoxMode
from omegaconf import DictConfig
from torch import Tensor

from ..data import find_dataset
from ..data.categories import dataset_with_classes
from ..data.image_file import DEFAULT_READER, ImageReader
from ..data.records import read_ahead
from .categories import Categories, dataset_names
from .recorded_data import register_recorded


def choose_dataset(config: DictConfig, data: str | None = None, *, by_class: bool = False) -> str:
    """The name of the dataset to look at.

    Args:
        config: whose first test dataset is taken if no other is given, registered as the config
            records it.
        data: a registered dataset, or ``images_dir:annotations.json``, which is registered.
        by_class: whether classes are compared, so that the dataset's must be the detector's; they
            are matched by name.

    Raises:
        ValueError: if there is none, or it has other categories.
        OSError: if the folder or the file cannot be read.
    """
    if data:
        name = find_dataset(data)
        classes = Categories.from_config(config).names if by_class else ()
        return dataset_with_classes(name, classes, "--data") if classes else name
    register_recorded(config, "test", "--data")
    names = dataset_names(config, "test")
    if not names:
        raise ValueError("The config names no test data: give a dataset, or images_dir:file.json.")
    return names[0]


def load_records(name: str, *, ahead: bool = False) -> list[dict[str, Any]]:
    """Detectron2's dicts of all images of a dataset.

    Args:
        name: of the dataset.
        ahead: only look, before a loader of the dataset is built, as :func:`.records.read_ahead`.

    Raises:
        ValueError: if no such dataset is registered, or it has no images.
        OSError: if its files are missing.
    """
    if name not in DatasetCatalog.list():
        raise ValueError(
            f"No dataset is registered as '{name}': give one that is, such as coco_2017_val or "
            "cascade_rpn_demo_val, or images_dir:annotations.json."
        )
    try:
        records = read_ahead(name) if ahead else DatasetCatalog.get(name)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"The files of the dataset '{name}' are not there ({error}): put them below "
            "$DETECTRON2_DATASETS, or give images_dir:annotations.json."
        ) from error
    if not records:
        raise ValueError(f"The dataset '{name}' has no images.")
    return records


def read_record(
    record: dict[str, Any], reader: ImageReader = DEFAULT_READER
) -> npt.NDArray[np.uint8]:
    """The image of a record, (H, W, 3) uint8 in BGR order.

    Raises:
        OSError: if it cannot be read; names the file.
        ValueError: if it has another size than its annotations say; names the file.
    """
    image = reader(record["file_name"])
    check_image_size(dict(record), image)
    return image


def objects_of(record: dict[str, Any]) -> Tensor:
    """The objects (g, 4) of a record, XYXY in pixels of the image; regions of a crowd are none."""
    boxes = [
        BoxMode.convert(a["bbox"], a["bbox_mode"], BoxMode.XYXY_ABS) for a in _annotations(record)
    ]
    return torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)


def classes_of(record: dict[str, Any]) -> Tensor:
    """The classes (g,) int64 of the objects of :func:`objects_of`."""
    return torch.tensor([a["category_id"] for a in _annotations(record)], dtype=torch.int64)


def count_objects(record: dict[str, Any]) -> int:
    """How many objects an image has; regions of a crowd are none."""
    return len(_annotations(record))


def _annotations(record: dict[str, Any]) -> list[dict[str, Any]]:
    """Those of objects, in which regions of a crowd do not count."""
    return [a for a in record.get("annotations", ()) if not a.get("iscrowd", 0)]


def pick_images(records: Sequence[dict[str, Any]], ids: Sequence[str]) -> list[dict[str, Any]]:
    """The records with these image ids, in the order of the ids.

    Raises:
        ValueError: if an id is none of the dataset's.
    """
    by_id = {str(record["image_id"]): record for record in records}
    for image_id in ids:
        if image_id not in by_id:
            raise ValueError(
                f"No image of the dataset has the id {image_id}: its {len(records)} images have "
                f"ids such as {', '.join(list(by_id)[:3])}."
            )
    return [by_id[image_id] for image_id in ids]


def choose_images(
    dataset: Sequence[dict[str, Any]], count: int, most_objects: int = 16
) -> list[dict[str, Any]]:
    """Images for a picture that people can read: evenly from those with few objects.

    Args:
        dataset: the images as Detectron2's dicts.
        count: how many to choose.
        most_objects: an image with more objects, or with none, is left out if there are others.

    Returns:
        ``count`` images in the order of the dataset, or as many as can be read.
    """
    readable = [r for r in dataset if 0 < len(r.get("annotations", ())) <= most_objects]
    readable = readable or list(dataset)
    count = min(count, len(readable))
    return [readable[i * len(readable) // count] for i in range(count)]
