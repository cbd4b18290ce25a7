"""A few pictures of rectangles with their annotations in COCO format."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np


def write_dataset(folder: Path, *, images: int = 5, classes: tuple[str, ...] = ("box",)) -> str:
    """Write pictures of 64 x 64 and their annotations; returns ``images_dir:annotations.json``."""
    rng = np.random.default_rng(0)
    pictures = folder / "images"
    pictures.mkdir(parents=True)
    content: dict[str, list] = {"images": [], "annotations": [], "categories": []}
    content["categories"] = [{"id": i + 1, "name": name} for i, name in enumerate(classes)]
    for i in range(images):
        picture = rng.integers(0, 80, (64, 64, 3), dtype=np.uint8)
        content["images"].append({"id": i, "file_name": f"{i}.png", "width": 64, "height": 64})
        for _ in range(3):
            x, y = (int(v) for v in rng.integers(0, 40, 2))
            w, h = (int(v) for v in rng.integers(12, 24, 2))
            picture[y : y + h, x : x + w] = rng.integers(100, 255, 3)
            content["annotations"].append(
                {
                    "id": len(content["annotations"]) + 1,
                    "image_id": i,
                    "category_id": 1,
                    "bbox": [x, y, w, h],
                    "area": w * h,
                    "iscrowd": 0,
                }
            )
        cv2.imwrite(str(pictures / f"{i}.png"), picture)
    annotations = folder / "annotations.json"
    annotations.write_text(json.dumps(content))
    return f"{pictures}:{annotations}"
