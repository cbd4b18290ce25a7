"""COCO-format folders from the command line: ``images_dir:annotations.json``, no code to write."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from pathlib import Path

from detectron2.data import DatasetCatalog, MetadataCatalog

from .cache import cache_dir, publish
from .coco_file import AnnotationFileError, CocoFile, complete_for_cocoeval, read_coco_file

logger = logging.getLogger(__name__)

_NAMED = 3  # how many of several culprits a message names


def register_coco_folder(spec: str, name: str | None = None) -> str:
    """Register a folder of images with its COCO annotation file, for training and testing.

    The file is read and checked at once. Boxes without area, outside their image or not of finite
    numbers are left out of training, boxes partly outside are cut at the border, both counted in
    the log; the metadata's ``json_file``, which evaluators read, keeps the ground truth as the
    file has it. Images without a box stay.

    Args:
        spec: ``images_dir:annotations.json``. Either path may itself contain colons.
        name: to register it under; by default one made of the two paths, so that registering the
            same folder again gives the same name and does no more work, unless the file has
            changed.

    Returns:
        The name, for ``DatasetCatalog``, ``MetadataCatalog`` and ``dataloader.*.dataset.names``.

    Raises:
        ValueError: when ``spec`` names no such folder and file, the file is malformed (which
            record), or the name is taken by another dataset.
        FileNotFoundError: when images are missing; says how many and names the first.
    """
    image_dir, json_file = split_spec(spec)
    identity = f"{image_dir}:{json_file}"
    if name is None:
        digest = hashlib.sha256(identity.encode()).hexdigest()[:8]
        name = f"{json_file.stem}_{digest}"
    status = json_file.stat()
    version = f"{identity}:{status.st_size}:{status.st_mtime_ns}"
    if name in DatasetCatalog.list():
        known = MetadataCatalog.get(name).get("coco_folder", "")
        if known == version:
            return name
        if not known.startswith(identity + ":"):
            raise ValueError(
                f"the dataset name {name!r} is taken by another dataset: choose another."
            )

    coco = read_coco_file(json_file)
    _require_images(image_dir, json_file, coco.records)
    for record in coco.records:
        record["file_name"] = str(image_dir / record["file_name"])
    evaluation_file = _evaluation_file(json_file, coco)
    if name in DatasetCatalog.list():
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)
    DatasetCatalog.register(name, lambda: _fresh(coco.records))
    MetadataCatalog.get(name).set(
        json_file=str(evaluation_file),
        image_root=str(image_dir),
        evaluator_type="coco",
        thing_classes=[label for _, label in coco.categories],
        thing_dataset_id_to_contiguous_id={c: i for i, (c, _) in enumerate(coco.categories)},
        coco_folder=version,
    )
    _report(name, json_file, coco)
    return name


def find_dataset(data: str) -> str:
    """The registered name of what a command line calls a dataset.

    Args:
        data: a registered name, or ``images_dir:annotations.json``, which is registered.

    Raises:
        ValueError, FileNotFoundError: as :func:`register_coco_folder`. A name without a colon is
            returned unchecked.
    """
    if data in DatasetCatalog.list() or ":" not in data:
        return data
    return register_coco_folder(data)


def num_classes(name: str) -> int:
    """Number of classes of a registered dataset.

    Raises:
        ValueError: when there is no such dataset or it has no class names.
    """
    classes = (
        MetadataCatalog.get(name).get("thing_classes") if name in DatasetCatalog.list() else None
    )
    if classes is None:
        raise ValueError(f"no dataset with class names is registered as {name!r}.")
    return len(classes)


def split_spec(spec: str) -> tuple[Path, Path]:
    """Split ``images_dir:annotations.json`` at the last colon behind which a file exists.

    Returns:
        Absolute paths of the folder and the file, both existing.

    Raises:
        ValueError: when there is no such colon or no such folder; says which path does not exist.
    """
    colons = [i for i in reversed(range(len(spec))) if spec[i] == ":"]
    candidates = [(_path(spec[:i]), _path(spec[i + 1 :])) for i in colons]
    with_file = [pair for pair in candidates if pair[1].is_file()]
    for image_dir, json_file in with_file:
        if image_dir.is_dir():
            return image_dir, json_file
    wanted = f"write images_dir:annotations.json, not {spec!r}"
    if with_file:
        raise ValueError(f"the image folder {with_file[0][0]} does not exist: {wanted}.")
    if candidates:
        raise ValueError(f"the annotation file {candidates[0][1]} does not exist: {wanted}.")
    raise ValueError(f"there is no colon between image folder and annotation file: {wanted}.")


def _path(text: str) -> Path:
    return Path(os.path.abspath(os.path.expanduser(text)))


def _require_images(image_dir: Path, json_file: Path, records: list[dict]) -> None:
    missing = [r["file_name"] for r in records if not (image_dir / r["file_name"]).is_file()]
    if missing:
        more = ", ..." if len(missing) > _NAMED else ""
        raise FileNotFoundError(
            f"{len(missing)} of the {len(records)} images of {json_file} are missing in "
            f"{image_dir} ({', '.join(missing[:_NAMED])}{more}): add them, or remove them from the "
            "file."
        )


def _evaluation_file(json_file: Path, coco: CocoFile) -> Path:
    """The file itself, or a cached copy with what it leaves out and pycocotools needs."""
    completed = complete_for_cocoeval(coco.content)
    coco.content = {}  # no longer needed, and as large as the file
    if completed is None:
        return json_file
    text = json.dumps(completed)
    folder = cache_dir() / "completed" / hashlib.sha256(text.encode()).hexdigest()[:16]
    if not folder.is_dir():
        with publish(folder) as staging:
            (staging / json_file.name).write_text(text)
    logger.info(
        "%s leaves out what COCO evaluation needs (unique ids from 1, area, iscrowd, boxes of "
        "finite numbers); evaluating against the completed copy %s.",
        *(json_file, folder / json_file.name),
    )
    return folder / json_file.name


def _fresh(records: list[dict]) -> list[dict]:
    """Copies that the caller may change: detectron2 adds precomputed proposals to its dicts."""
    return [{**r, "annotations": [dict(a) for a in r["annotations"]]} for r in records]


def _report(name: str, json_file: Path, coco: CocoFile) -> None:
    names = [label for _, label in coco.categories]
    shown = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
    logger.info(
        "Registered %s as %r: %d images (%d without a box), %d boxes of %d classes (%s); %d boxes "
        "dropped, %d cut at the image border.",
        *(json_file, name, len(coco.records)),
        sum(not record["annotations"] for record in coco.records),
        *(coco.num_boxes, len(names), shown, len(coco.dropped), coco.clipped),
    )
    if coco.dropped:
        logger.warning(
            "%s: %d of %d boxes are left out of training; the first: %s.",
            *(json_file, len(coco.dropped), coco.num_boxes + len(coco.dropped), coco.dropped[0]),
        )


__all__ = [
    "AnnotationFileError",
    "find_dataset",
    "num_classes",
    "register_coco_folder",
    "split_spec",
]
