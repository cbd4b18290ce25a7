"""Reading anyone's COCO annotation file: every flaw ends in one sentence or is counted.

Only boxes are read; for masks and keypoints use detectron2's ``register_coco_instances``.
(detectron2's ``load_coco_json`` is not used because it stops at flaws with an assertion and leaves
out objects whose polygon is broken, box and all.)
"""

from __future__ import annotations

import codecs
import dataclasses
from collections import Counter
from collections.abc import Container, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from detectron2.structures import BoxMode
from PIL import Image
from tqdm import tqdm

from ..files.untrusted import read_json
from . import coco_fields
from .coco_fields import AnnotationFileError, Ids, is_box
from .image_headers import read_header
from .image_names import ImageFolder

_THREADS = 16
_ONE_KIND = "ids of images and categories are written as numbers or texts throughout"


@dataclasses.dataclass
class CocoFile:
    """What a COCO annotation file holds, ready for training.

    Attributes:
        content: the file's JSON object, with ids as they are in ``records`` and ``categories``.
        rewritten: what a strict reader would find in the file and not in ``content``: a byte order
            mark, ids written in another way; a phrase each.
        categories: (category id, name), ordered by id; the position is the class index. No two
            names are equal.
        renamed: names that several categories had, and by which names they are told apart.
        records: detectron2 dataset dicts ordered by image id, ``file_name`` relative to the image
            folder, ``bbox`` XYXY inside the image, also for images without a box and for crowd
            annotations.
        has_annotations: False for a file that has no key ``annotations``, as those of test images
            have not, whose objects are not published.
        dropped: for each box that is not in ``records``, a phrase that names it and says why.
        clipped: number of boxes that reached out of their image and were cut at its border.
        overhanging: number of those that reached over the right or lower border by more than a
            pixel, as corners do that are read as x, y, width, height.
        fractional: number of boxes inside the first pixel of their image, as those in fractions of
            the image are.
        sizes_read: number of images whose size the file leaves out and their headers gave.
        turned: number of those that are turned by their EXIF data.
        areas_left_out: number of annotations whose ``area`` is no number of at least 0, which
            ``content`` has no longer.
    """

    content: dict[str, Any]
    rewritten: list[str] = dataclasses.field(default_factory=list)
    categories: list[tuple[int, str]] = dataclasses.field(default_factory=list)
    renamed: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    records: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    has_annotations: bool = True
    dropped: list[str] = dataclasses.field(default_factory=list)
    clipped: int = 0
    overhanging: int = 0
    fractional: int = 0
    sizes_read: int = 0
    turned: int = 0
    areas_left_out: int = 0

    @property
    def num_boxes(self) -> int:
        """Boxes in ``records``."""
        return sum(len(record["annotations"]) for record in self.records)


def read_coco_file(path: Path, images: ImageFolder | None = None) -> CocoFile:
    """Read and check a COCO annotation file.

    Args:
        path: a JSON file with ``images``, ``categories`` and, but for test images, ``annotations``.
            Category ids may have gaps. Whole numbers may be written as ``3.0``, those of categories
            as texts, and ``image_id`` as a text where ``images`` has a number, or the reverse. An
            image without ``file_name`` may have ``coco_url``.
        images: the folder that the images are looked for in, and their sizes where the file leaves
            them out. By default no image is looked for, and the file must have their sizes.

    Raises:
        AnnotationFileError: when it is missing or not such a file; one sentence.
        OSError: when images are missing, or one whose size is needed cannot be read.
    """
    coco = CocoFile(_load(path))
    if _has_byte_order_mark(path):
        coco.rewritten.append("the byte order mark is left out")
    for key in ("images", "annotations", "categories"):
        value = coco.content.get(key)
        if key == "annotations" and key not in coco.content:
            coco.has_annotations = False
        elif not isinstance(value, list):
            raise AnnotationFileError(
                f"{path} is not a COCO annotation file: its key '{key}' must hold a list, but "
                f"{'holds something else' if key in coco.content else 'is missing'}: correct it, "
                "or give another file."
            )
        elif not value and key != "annotations":
            raise AnnotationFileError(f"{path} has an empty list of {key}: add at least one.")
    _read_images(path, coco, images)
    _read_categories(path, coco)
    _read_annotations(path, coco)
    return coco


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


def _load(path: Path) -> dict[str, Any]:
    try:
        # NaN is named where it stands, or its box dropped.
        content = read_json(path, allow_nan=True)
    except FileNotFoundError:
        raise AnnotationFileError(f"the annotation file {path} does not exist.") from None
    except OSError as error:
        raise AnnotationFileError(
            f"the annotation file {path} cannot be read ({error.strerror or error})."
        ) from error
    except ValueError as error:
        raise AnnotationFileError(f"the annotation file {error}") from error
    if not isinstance(content, dict):
        raise AnnotationFileError(
            f"{path} is not a COCO annotation file: it must be a JSON object with 'images', "
            f"'annotations' and 'categories', but is a {type(content).__name__}: give another file."
        )
    return content


def _has_byte_order_mark(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(3) == codecs.BOM_UTF8


def _read_images(path: Path, coco: CocoFile, images: ImageFolder | None) -> None:
    """The records without their annotations, in the order of their ids."""
    found: dict[int | str, dict[str, Any]] = {}
    root = None if images is None else images.root
    for position, image in enumerate(coco.content["images"]):
        where = f"images[{position}]"
        coco_fields.check_object(path, where, image)
        own = coco_fields.image_id_of(path, where, image, "id")
        _require_new(path, where, own, found)
        _set(coco, image, "id", own)
        found[own] = {
            "file_name": coco_fields.file_name_of(path, where, image, root),
            "image_id": own,
            "width": coco_fields.length_of(path, where, image, "width"),
            "height": coco_fields.length_of(path, where, image, "height"),
            "annotations": [],
        }
    if len({type(own) for own in found}) > 1:
        raise AnnotationFileError(f"{path}: the ids of images mix numbers and texts: use one kind.")
    records = list(found.values())
    if images is not None:
        located = images.locate(path, [record["file_name"] for record in records])
        for record, name in zip(records, located, strict=True):
            record["file_name"] = name
    sizeless = [r for r in records if r["width"] is None or r["height"] is None]
    if sizeless and images is None:
        position = records.index(sizeless[0])
        key = "width" if sizeless[0]["width"] is None else "height"
        raise coco_fields.lacks(path, f"images[{position}]", key)
    if images is not None:
        coco.turned = _read_sizes(sizeless, images.root)
    coco.sizes_read = len(sizeless)
    coco.records = [found[own] for own in sorted(found)]


def _read_sizes(records: list[dict[str, Any]], folder: Path) -> int:
    """Take the sizes of images from their headers, many at once, as a disk may answer late.

    Returns:
        How many are turned by their EXIF data.
    """
    turned = 0
    Image.init()  # threads that each do it would miss formats
    with ThreadPoolExecutor(_THREADS) as pool:
        headers = pool.map(read_header, [folder / record["file_name"] for record in records])
        for record, header in zip(
            tqdm(records, desc="Sizes of images", unit="", delay=1, disable=None),
            headers,
            strict=True,
        ):
            record["width"], record["height"] = header.width, header.height
            turned += header.orientation != 1
    return turned


def _read_categories(path: Path, coco: CocoFile) -> None:
    names: dict[int, str] = {}
    for position, category in enumerate(coco.content["categories"]):
        where = f"categories[{position}]"
        coco_fields.check_object(path, where, category)
        own = coco_fields.category_id_of(path, where, category, "id")
        _require_new(path, where, own, names)
        _set(coco, category, "id", own)
        names[own] = coco_fields.text_of(path, where, category, "name", strip=True)
    # Results are kept by name: of two equal names one would be lost.
    counts = Counter(names.values())
    for own, name in sorted(names.items()):
        if counts[name] > 1:
            names[own] = f"{name} ({own})"
            while names[own] in counts:
                names[own] += f" ({own})"
            coco.renamed.setdefault(name, []).append(names[own])
    coco.categories = sorted(names.items())


def _read_annotations(path: Path, coco: CocoFile) -> None:
    """Add the boxes to the records."""
    records = {record["image_id"]: record for record in coco.records}
    class_of = {category: i for i, (category, _) in enumerate(coco.categories)}
    image_ids, category_ids = Ids(records), Ids(class_of)
    for position, annotation in enumerate(coco.content.get("annotations", ())):
        where = f"annotations[{position}]"
        coco_fields.check_object(path, where, annotation)
        image_id = coco_fields.image_id_of(path, where, annotation, "image_id")
        category_id = coco_fields.category_id_of(path, where, annotation, "category_id")
        for key, found in (
            ("image_id", image_ids.find(image_id)),
            ("category_id", category_ids.find(category_id)),
        ):
            if found is None:
                owners = "images" if key == "image_id" else "categories"
                raise AnnotationFileError(
                    f"{path}: {where} has {key} {annotation[key]!r:.60}, which is not among the "
                    f"file's {owners}: add it there, or remove the annotation."
                )
            _set(coco, annotation, key, found)
        if annotation.get("area") is not None and not coco_fields.is_area(annotation["area"]):
            del annotation["area"]
            coco.areas_left_out += 1
        crowd = coco_fields.is_crowd(path, where, annotation)
        record = records[annotation["image_id"]]
        bbox = annotation.get("bbox")
        box, flaw = clip_box(bbox, record["width"], record["height"])
        if flaw is not None:
            coco.dropped.append(
                f"{where} (id {annotation.get('id')!r:.60}) of image {record['file_name']} has "
                f"bbox {bbox!r:.60}, {flaw}"
            )
            continue
        corners = _corners(bbox)
        coco.clipped += box != corners
        coco.fractional += corners[2] <= 1 and corners[3] <= 1
        coco.overhanging += corners[2] > record["width"] + 1 or corners[3] > record["height"] + 1
        record["annotations"].append(
            {
                "bbox": list(box),
                "bbox_mode": BoxMode.XYXY_ABS,
                "category_id": class_of[annotation["category_id"]],
                "iscrowd": crowd,
            }
        )


def _require_new(path: Path, where: str, own: int | str, known: Container[int | str]) -> None:
    if own in known:
        raise AnnotationFileError(
            f"{path}: {where} has id {own!r:.60}, which another one has too: make the ids unique."
        )


def _set(coco: CocoFile, record: dict[str, Any], key: str, value: int | str) -> None:
    """Write an id as it is known here."""
    if type(record[key]) is not type(value) or record[key] != value:
        record[key] = value
        if _ONE_KIND not in coco.rewritten:
            coco.rewritten.append(_ONE_KIND)


def _corners(bbox: Iterable[float]) -> tuple[float, ...]:
    x, y, width, height = (float(value) for value in bbox)
    return x, y, x + width, y + height
