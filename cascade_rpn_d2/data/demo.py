"""The embedded demo dataset: COCO format, drawn on first use, equal on every machine.

Registering only fills the catalogs. The pictures are drawn when one of the two datasets is first
asked for, into the cache folder (see :mod:`.cache`), in a few seconds.
"""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path

import cv2
import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import load_coco_json

from .cache import cache_dir, publish
from .demo_scene import CLASSES, DemoObject, draw_scene

TRAIN, VAL = "cascade_rpn_demo_train", "cascade_rpn_demo_val"
SPLITS = {TRAIN: 320, VAL: 120}  # number of pictures

# Goes into the folder's name: raise it with every change of what is drawn, so that no one is left
# with a mixture, and train the demo checkpoint anew.
VERSION = 2
_SEED = 20190915

logger = logging.getLogger(__name__)


def register_demo_dataset() -> None:
    """Register ``cascade_rpn_demo_train`` and ``cascade_rpn_demo_val`` without drawing anything.

    Their metadata is complete at once. May be called again, and follows a cache folder that has
    changed since.
    """
    root = demo_root()
    for name in SPLITS:
        if name in DatasetCatalog.list():
            if MetadataCatalog.get(name).json_file == str(_json_file(root, name)):
                continue
            DatasetCatalog.remove(name)
            MetadataCatalog.remove(name)
        DatasetCatalog.register(name, lambda name=name: _load(root, name))
        MetadataCatalog.get(name).set(
            json_file=str(_json_file(root, name)),
            image_root=str(_image_dir(root, name)),
            evaluator_type="coco",
            thing_classes=list(CLASSES),
            thing_dataset_id_to_contiguous_id={i + 1: i for i in range(len(CLASSES))},
        )


def demo_root() -> Path:
    """The folder of this version of the demo dataset in the current cache folder."""
    return cache_dir() / f"demo_v{VERSION}"


def scene(name: str, number: int) -> tuple[np.ndarray, list[DemoObject]]:
    """Draw one picture of a split: number 1, 2, ... of ``name``. See :func:`.draw_scene`."""
    # One stream a picture: none depends on how much randomness another one used.
    return draw_scene(np.random.default_rng([_SEED, list(SPLITS).index(name), number]))


def generate_demo_dataset(root: Path) -> None:
    """Draw both splits into ``root``, unless they are there. Safe in several processes at once.

    Args:
        root: made with ``images/<split>/*.png`` and ``annotations/<split>.json``; present only
            when complete.

    Raises:
        OSError: when it cannot be written; says what to set.
    """
    if root.is_dir():
        return
    logger.info("Drawing the demo dataset (%d pictures) into %s", sum(SPLITS.values()), root)
    start = time.perf_counter()
    with publish(root) as folder:
        for name in SPLITS:
            _write_split(folder, name)
    logger.info("Drew the demo dataset in %.1f s", time.perf_counter() - start)


def _split(name: str) -> str:
    return name.rpartition("_")[2]


def _json_file(root: Path, name: str) -> Path:
    return root / "annotations" / f"{_split(name)}.json"


def _image_dir(root: Path, name: str) -> Path:
    return root / "images" / _split(name)


def _load(root: Path, name: str) -> list[dict]:
    generate_demo_dataset(root)
    # Without a dataset name detectron2 leaves the metadata alone, and the category ids as they are.
    records = load_coco_json(str(_json_file(root, name)), str(_image_dir(root, name)))
    for record in records:
        for annotation in record["annotations"]:
            annotation["category_id"] -= 1
    return records


def _write_split(folder: Path, name: str) -> None:
    images: list[dict] = []
    annotations: list[dict] = []
    image_dir = _image_dir(folder, name)
    image_dir.mkdir(parents=True)
    for number in range(1, SPLITS[name] + 1):
        picture, objects = scene(name, number)
        file_name = f"{number:06d}.png"
        ok, png = cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 3])
        if not ok:
            raise RuntimeError("OpenCV cannot encode PNG: install opencv-python-headless anew.")
        (image_dir / file_name).write_bytes(png.tobytes())
        height, width = picture.shape[:2]
        images.append({"id": number, "file_name": file_name, "width": width, "height": height})
        for shape in objects:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": shape.category + 1,
                    "bbox": list(shape.box),
                    "area": shape.area,
                    "iscrowd": 0,
                }
            )
    categories = [{"id": i + 1, "name": label} for i, label in enumerate(CLASSES)]
    content = {
        "info": {"description": "cascade_rpn_d2 demo dataset", "version": str(VERSION)},
        "images": images,
        "annotations": annotations,
        "categories": categories,
    }
    path = _json_file(folder, name)
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))
