"""Reading anyone's COCO annotation file: every flaw ends in one sentence or is counted.

Only boxes are read; for masks and keypoints use detectron2's ``register_coco_instances``.
(detectron2's ``load_coco_json`` is not used because it stops at flaws with an assertion and leaves
out objects whose polygon is broken, box and all.)
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from detectron2.structures import BoxMode


class AnnotationFileError(ValueError):
    """An annotation file cannot be used; the message names file, record and flaw."""


@dataclasses.dataclass
class CocoFile:
    """What a COCO annotation file holds, ready for training.

    Attributes:
        content: the file's own JSON object, untouched.
        categories: (category id, name), ordered by id; the position is the class index.
        records: detectron2 dataset dicts ordered by image id, ``file_name`` relative to the image
            folder, ``bbox`` XYXY inside the image, also for images without a box and for crowd
            annotations.
        dropped: for each box that is not in ``records``, a phrase that names it and says why.
        clipped: number of boxes that reached out of their image and were cut at its border.
    """

    content: dict
    categories: list[tuple[int, str]]
    records: list[dict]
    dropped: list[str]
    clipped: int

    @property
    def num_boxes(self) -> int:
        return sum(len(record["annotations"]) for record in self.records)


def read_coco_file(path: Path) -> CocoFile:
    """Read and check a COCO annotation file.

    Args:
        path: a JSON file with ``images``, ``annotations`` and ``categories``. Category ids may
            have gaps.

    Raises:
        AnnotationFileError: when it is missing or not such a file; one sentence.
    """
    content = _load_json(path)
    for key in ("images", "annotations", "categories"):
        if not isinstance(content.get(key), list):
            raise AnnotationFileError(
                f"{path} is not a COCO annotation file: its key '{key}' must hold a list, but "
                f"{'holds something else' if key in content else 'is missing'}."
            )
    images = _by_id(path, content, "images", {"id": _is_id, "file_name": _is_text} | _SIZE)
    named = _by_id(path, content, "categories", {"id": _is_integer, "name": _is_text})
    for key, found in (("images", images), ("categories", named)):
        if not found:
            raise AnnotationFileError(f"{path} has an empty list of {key}: add at least one.")

    class_of = {category: i for i, category in enumerate(sorted(named))}
    records = {
        i: {
            "file_name": image["file_name"],
            "image_id": i,
            "width": int(image["width"]),
            "height": int(image["height"]),
            "annotations": [],
        }
        for i, image in sorted(images.items())
    }
    dropped = []
    clipped = 0
    for position, annotation in enumerate(content["annotations"]):
        where = f"annotations[{position}]"
        _check(path, where, annotation, {"image_id": _is_id, "category_id": _is_integer})
        for key, known in (("image_id", records), ("category_id", class_of)):
            if annotation[key] not in known:
                owners = "images" if key == "image_id" else "categories"
                raise AnnotationFileError(
                    f"{path}: {where} has {key} {annotation[key]!r}, which is not among the file's "
                    f"{owners}: add it there, or remove the annotation."
                )
        record = records[annotation["image_id"]]
        box, flaw = clip_box(annotation.get("bbox"), record["width"], record["height"])
        if flaw is not None:
            dropped.append(
                f"{where} (id {annotation.get('id')}) of image {record['file_name']} has bbox "
                f"{annotation.get('bbox')}, {flaw}"
            )
            continue
        clipped += box != _corners(annotation["bbox"])
        record["annotations"].append(
            {
                "bbox": list(box),
                "bbox_mode": BoxMode.XYXY_ABS,
                "category_id": class_of[annotation["category_id"]],
                "iscrowd": int(bool(annotation.get("iscrowd", 0))),
            }
        )
    categories = [(category, named[category]["name"]) for category in sorted(named)]
    return CocoFile(content, categories, list(records.values()), dropped, clipped)


def clip_box(bbox: Any, width: float, height: float) -> tuple[tuple[float, ...], str | None]:
    """Cut a COCO box at the border of its image.

    Args:
        bbox: what the file gives as (x, y, width, height) in pixels; may be anything.
        width: of the image, pixels.
        height: of the image, pixels.

    Returns:
        The part inside the image as (x0, y0, x1, y1), and None; or an empty tuple and what is
        wrong.
    """
    if not is_box(bbox):
        return (), "which is not four finite numbers"
    x0, y0, x1, y1 = _corners(bbox)
    if bbox[2] <= 0 or bbox[3] <= 0 or x1 <= x0 or y1 <= y0:
        return (), "which has no area"
    clipped = (max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height)))
    if clipped[2] <= clipped[0] or clipped[3] <= clipped[1]:
        return (), f"which lies outside the image of {width} x {height}"
    return clipped, None


def is_box(bbox: Any) -> bool:
    """Whether ``bbox`` is a list of four finite numbers."""
    return (
        isinstance(bbox, list)
        and len(bbox) == 4
        and all(_is_number(value) and abs(value) <= sys.float_info.max for value in bbox)
    )


def complete_for_cocoeval(content: dict) -> dict | None:
    """Fill in what an annotation file leaves out and pycocotools needs to evaluate.

    The ground truth stays the same: missing ``iscrowd`` becomes 0, missing ``area`` the box's, ids
    that are missing, repeated or 0 (which COCOeval mistakes for "not found") are numbered anew,
    and annotations whose box is not four finite numbers, which pycocotools cannot read, are left
    out.

    Args:
        content: a checked annotation file's JSON object; not changed.

    Returns:
        The completed object, or None when the file can be used as it is.
    """
    annotations = content["annotations"]
    ids = Counter(repr(a.get("id")) for a in annotations)
    renumber = len(ids) < len(annotations) or "None" in ids or "0" in ids
    if not renumber and all(_suits_cocoeval(a) for a in annotations):
        return None
    completed = []
    for position, annotation in enumerate(annotations, start=1):
        if not is_box(annotation.get("bbox")):
            continue
        new = {**annotation, "iscrowd": int(bool(annotation.get("iscrowd")))}
        if not _is_number(new.get("area")):
            new["area"] = new["bbox"][2] * new["bbox"][3]
        if renumber:
            new["id"] = position
        completed.append(new)
    return {**content, "annotations": completed}


def _suits_cocoeval(annotation: dict) -> bool:
    return (
        is_box(annotation.get("bbox"))
        and _is_number(annotation.get("area"))
        and isinstance(annotation.get("iscrowd"), int)
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _is_id(value: Any) -> bool:
    return _is_integer(value) or _is_text(value)


def _is_length(value: Any) -> bool:
    return _is_number(value) and value > 0 and float(value).is_integer()


_SIZE: dict[str, Callable[[Any], bool]] = {"width": _is_length, "height": _is_length}
_EXPECTED: dict[Callable[[Any], bool], str] = {
    _is_integer: "a whole number",
    _is_text: "a text",
    _is_id: "a whole number or a text",
    _is_length: "a positive whole number",
}


def _check(path: Path, where: str, record: Any, fields: dict[str, Callable[[Any], bool]]) -> None:
    if not isinstance(record, dict):
        raise AnnotationFileError(f"{path}: {where} must be an object, but is {record!r:.60}.")
    for key, is_right in fields.items():
        if key not in record:
            raise AnnotationFileError(f"{path}: {where} lacks the key '{key}': add it.")
        if not is_right(record[key]):
            raise AnnotationFileError(
                f"{path}: {where} has {key} {record[key]!r:.60}, which must be "
                f"{_EXPECTED[is_right]}."
            )


def _by_id(path: Path, content: dict, key: str, fields: dict[str, Callable[[Any], bool]]) -> dict:
    found: dict = {}
    for position, record in enumerate(content[key]):
        _check(path, f"{key}[{position}]", record, fields)
        if record["id"] in found:
            raise AnnotationFileError(
                f"{path}: {key}[{position}] has id {record['id']!r}, which another one has too: "
                "make the ids unique."
            )
        found[record["id"]] = record
    if len({type(i) for i in found}) > 1:
        raise AnnotationFileError(f"{path}: the ids of {key} mix numbers and texts: use one kind.")
    return found


def _load_json(path: Path) -> dict:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise AnnotationFileError(f"the annotation file {path} does not exist.") from None
    except (OSError, ValueError) as error:
        raise AnnotationFileError(
            f"the annotation file {path} cannot be read as JSON ({error}): write it anew."
        ) from error
    if not isinstance(content, dict):
        raise AnnotationFileError(
            f"{path} is not a COCO annotation file: it must be a JSON object with 'images', "
            f"'annotations' and 'categories', but is a {type(content).__name__}."
        )
    return content


def _corners(bbox: Iterable[float]) -> tuple[float, ...]:
    x, y, width, height = (float(value) for value in bbox)
    return x, y, x + width, y + height
