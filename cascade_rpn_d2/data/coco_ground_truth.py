"""The annotation file that evaluators read: the user's own, or a completed copy in the cache."""

from __future__ import annotations

import hashlib
import json
import logging
import sys
from pathlib import Path
from typing import Any

from .cache import cache_dir, publish
from .coco_fields import MAX_INTEGER, is_box
from .coco_file import CocoFile

logger = logging.getLogger(__name__)

_COPY = "annotations.json"


def ground_truth_file(json_file: Path, coco: CocoFile) -> Path:
    """The file itself, or a copy that pycocotools can evaluate against; the log says why.

    Raises:
        OSError: if the copy cannot be written.
    """
    content, changes = complete_for_cocoeval(coco.content)
    changes = coco.rewritten + changes
    if not changes:
        return json_file
    text = json.dumps(content)
    # Named by its contents alone: files of several names may hold the same.
    folder = cache_dir() / "ground_truth" / hashlib.sha256(text.encode()).hexdigest()[:16]
    if not (folder / _COPY).is_file():
        with publish(folder) as staging:
            (staging / _COPY).write_text(text)
    logger.info(
        "%s: evaluations read the copy %s, in which %s.",
        *(json_file, folder / _COPY, ", and ".join(changes)),
    )
    return folder / _COPY


def complete_for_cocoeval(content: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Fill in what an annotation file leaves out and pycocotools needs to evaluate.

    The ground truth stays the same: missing ``iscrowd`` becomes 0, missing ``area`` the box's, and
    annotations whose box is not four finite numbers, which pycocotools cannot read, are left out.
    All annotations are numbered anew unless every id is an integer from 1 (COCOeval mistakes 0 for
    "not found") to 2^53 - 1 (it holds them as float64), and none is repeated.

    Args:
        content: a checked annotation file's JSON object; not changed.

    Returns:
        The completed object, and what was changed; nothing when the file can be used as it is.
    """
    annotations = content.get("annotations", [])
    boxes = [a for a in annotations if is_box(a.get("bbox"))]
    renumber = len({a["id"] for a in annotations if _is_usable(a.get("id"))}) < len(annotations)
    filled = sum(a.get("area") is None or type(a.get("iscrowd")) is not int for a in boxes)
    changes = []
    if renumber:
        changes.append(
            "annotations are numbered anew, as their ids are not all different whole numbers from "
            "1 to 2^53 - 1"
        )
    if filled:
        changes.append(f"area or iscrowd of {filled} annotations are filled in")
    if len(boxes) < len(annotations):
        changes.append(f"{len(annotations) - len(boxes)} annotations without a box are left out")
    if not changes:
        return content, changes
    completed = [_complete(annotation) for annotation in boxes]
    if renumber:
        for number, annotation in enumerate(completed, start=1):
            annotation["id"] = number
    return {**content, "annotations": completed}, changes


def _is_usable(annotation_id: Any) -> bool:
    return type(annotation_id) is int and 1 <= annotation_id <= MAX_INTEGER


def _complete(annotation: dict[str, Any]) -> dict[str, Any]:
    new = {**annotation, "iscrowd": int(annotation.get("iscrowd") or 0)}
    if new.get("area") is None:
        width, height = (float(side) for side in new["bbox"][2:])
        new["area"] = min(width * height, sys.float_info.max)
    return new
