"""COCO-format folders from the command line: ``images_dir:annotations.json``, no code to write."""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path

from detectron2.data import DatasetCatalog, MetadataCatalog

from .coco_fields import AnnotationFileError
from .coco_file import CocoFile, read_coco_file
from .coco_ground_truth import ground_truth_file
from .image_names import ImageFolder

logger = logging.getLogger(__name__)


def register_coco_folder(
    spec: str, name: str | None = None, *, allow_outside_images: bool | None = None
) -> str:
    """Register a folder of images with its COCO annotation file, for training and testing.

    The file is read and checked at once. Boxes without area, outside their image or not of finite
    numbers are left out of training, boxes partly outside are cut at the border, both counted in
    the log; the metadata's ``json_file``, which evaluators read, keeps the ground truth as the
    file has it. Images without a box stay. A file without the key ``annotations``, as those of test
    images, sets ``has_annotations`` of the metadata to False.

    Args:
        spec: ``images_dir:annotations.json``. Either path may itself contain colons.
        name: to register it under; by default one made of the two paths, so that registering the
            same folder again gives the same name and does no more work, unless the file has
            changed.
        allow_outside_images: take a ``file_name`` that leads out of the image folder, which would
            let a stranger's file name any image of this machine. None for what
            :func:`.image_names.allow_outside_images` has said, by default no.

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

    coco = read_coco_file(json_file, ImageFolder(image_dir, allow_outside_images))
    for record in coco.records:
        record["file_name"] = str(image_dir / record["file_name"])
    evaluation_file = ground_truth_file(json_file, coco)
    coco.content = {}  # no longer needed, and as large as the file
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
        has_annotations=coco.has_annotations,
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
        ValueError: when there is no such colon or no such folder; says which path does not exist,
            or is something else.
    """
    colons = [i for i in reversed(range(len(spec))) if spec[i] == ":"]
    candidates = [(_path(spec[:i]), _path(spec[i + 1 :])) for i in colons]
    with_file = [pair for pair in candidates if pair[1].is_file()]
    for image_dir, json_file in with_file:
        if image_dir.is_dir():
            return image_dir, json_file
    if with_file:
        folder = with_file[0][0]
        raise ValueError(f"the image folder {folder} {_not_there(folder, 'file', 'folder')}.")
    if candidates:
        file = candidates[0][1]
        raise ValueError(f"the annotation file {file} {_not_there(file, 'folder', 'file')}.")
    raise ValueError(
        "there is no colon between image folder and annotation file: write "
        f"images_dir:annotations.json, not {spec!r}."
    )


def _not_there(path: Path, found: str, wanted: str) -> str:
    if not path.exists():
        return "does not exist"
    return f"is a {found}, where images_dir:annotations.json has a {wanted}"


def _path(text: str) -> Path:
    return Path(os.path.abspath(os.path.expanduser(text)))


def _fresh(records: list[dict]) -> list[dict]:
    """Copies that the caller may change: detectron2 adds precomputed proposals to its dicts."""
    return [{**r, "annotations": [dict(a) for a in r["annotations"]]} for r in records]


def _report(name: str, json_file: Path, coco: CocoFile) -> None:
    """Log what was found, and what a user may not have meant."""
    names = [label for _, label in coco.categories]
    shown = ", ".join(f"{label:.40}" for label in names[:10]) + (", ..." if len(names) > 10 else "")
    if coco.has_annotations:
        logger.info(
            "Registered %s as %r: %d images (%d without a box), %d boxes of %d classes (%s); %d "
            "boxes dropped, %d cut at the image border.",
            *(json_file, name, len(coco.records)),
            sum(not record["annotations"] for record in coco.records),
            *(coco.num_boxes, len(names), shown, len(coco.dropped), coco.clipped),
        )
    else:
        logger.info(
            "Registered %s as %r: %d images of test data without annotations, %d classes (%s).",
            *(json_file, name, len(coco.records), len(names), shown),
        )
    if coco.sizes_read:
        logger.info(
            "%s: the sizes of %d images are those of their files, as it leaves them out.",
            *(json_file, coco.sizes_read),
        )
    if coco.turned:
        logger.warning(
            "%s: %d of those images are turned by their EXIF data, and are read so: if the boxes "
            "were drawn on the images as they were before, they do not fit, so remove the EXIF "
            "orientation (`exiftool -Orientation= FILE`).",
            *(json_file, coco.turned),
        )
    if coco.areas_left_out:
        logger.info(
            "%s: area of %d annotations is no number of at least 0: that of the box takes its "
            "place.",
            *(json_file, coco.areas_left_out),
        )
    for label, apart in coco.renamed.items():
        logger.warning(
            "%s: %d categories are named '%s'; they are told apart as '%s'.",
            *(json_file, len(apart), f"{label:.40}", "', '".join(f"{x:.60}" for x in apart[:10])),
        )
    if coco.dropped:
        logger.warning(
            "%s: %d of %d boxes are left out of training; the first: %s.",
            *(json_file, len(coco.dropped), coco.num_boxes + len(coco.dropped), coco.dropped[0]),
        )
    if 0 < coco.num_boxes <= 2 * coco.overhanging:
        logger.warning(
            "%s: %d of %d boxes reach over the right or lower border of their image: they may be "
            "corners (x0, y0, x1, y1) instead of (x, y, width, height), or belong to images of "
            "another size; if so, write x, y, x1 - x0, y1 - y0, or give the images that they were "
            "drawn on.",
            *(json_file, coco.overhanging, coco.num_boxes),
        )
    if 0 < coco.num_boxes == coco.fractional:
        logger.warning(
            "%s: no box reaches out of the first pixel of its image: they may be fractions of the "
            "image instead of pixels; if so, multiply them by its width and height.",
            json_file,
        )


__all__ = [
    "AnnotationFileError",
    "find_dataset",
    "num_classes",
    "register_coco_folder",
    "split_spec",
]
