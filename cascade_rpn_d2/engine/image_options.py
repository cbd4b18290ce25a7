"""How the images of a run are read, and whether all of them can be."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.utils.registry import locate
from omegaconf import DictConfig, OmegaConf

from ..data import DatasetMapper, ImageReader
from ..data.image_check import check_images
from ..model_zoo import reader_of
from .categories import dataset_names
from .processes import of_main_process
from .recorded_data import register_recorded

logger = logging.getLogger(__name__)

# Arguments of the mapper that say how images are read.
READING = ("depth_range", "max_pixels")


def check_image_files(config: DictConfig, parts: Sequence[str] = ("train", "test")) -> None:
    """Check the images of the folders that a config trains and is evaluated on.

    Datasets that were not given as ``images_dir:annotations.json`` are taken to be in order, and so
    are images that are left out of training because they have no objects. In a run of several
    processes the main one looks.

    Args:
        config: whose recorded data are registered.
        parts: of which loaders, ``"train"`` and ``"test"``; the latter if there is an evaluator.

    Raises:
        ValueError: if images cannot be used; says how many, why, and what to do.
    """
    for part in parts:
        if part == "test" and config.dataloader.get("evaluator") is None:
            continue
        register_recorded(config, part)
        for name in dataset_names(config, part):
            check_dataset(config, part, name)


# Dataset of a folder, as its file was then, and reader -> images that were found to be in order.
_checked: dict[tuple[str, ImageReader], set[str]] = {}


def check_dataset(config: DictConfig, part: str, name: str) -> None:
    """Check the images of one dataset, which ``dataloader.<part>.mapper`` is to read.

    Images of a folder that this process has checked, to be read alike, are in order.

    Raises:
        ValueError: as :func:`check_image_files`.
    """
    reader = reader_of(OmegaConf.select(config, f"dataloader.{part}.mapper"))
    if name not in DatasetCatalog.list():
        return
    metadata = MetadataCatalog.get(name).as_dict()
    if "coco_folder" not in metadata:
        return
    given, made = metadata["coco_folder"], f"{metadata['image_root']}:{metadata['json_file']}"
    what = given.rsplit(":", 2)[0] if given else made
    annotated = part == "train" and OmegaConf.select(
        config, "dataloader.train.dataset.filter_empty", default=True
    )

    def check() -> None:
        records = DatasetCatalog.get(name)
        if annotated:
            records = [record for record in records if _has_objects(record)]
        known = _checked.setdefault((given, reader), set()) if given else set()
        files = {record["file_name"] for record in records}
        if not files <= known:
            check_images(records, metadata["image_root"], what, reader)
            known |= files

    of_main_process(check)


def _has_objects(record: dict[str, Any]) -> bool:
    return any(not a.get("iscrowd", 0) for a in record.get("annotations", ()))


def require_reading_mapper(config: DictConfig) -> None:
    """Refuse a depth range or a limit of pixels for a mapper that knows neither.

    Raises:
        ValueError: if a mapper is not this package's.
    """
    for part in ("train", "test"):
        mapper = OmegaConf.select(config, f"dataloader.{part}.mapper")
        if not OmegaConf.is_dict(mapper) or not any(key in mapper for key in READING):
            continue
        target = mapper.get("_target_")
        target = locate(target) if isinstance(target, str) else target
        if not (isinstance(target, type) and issubclass(target, DatasetMapper)):
            raise ValueError(
                "--depth-range and --max-pixels take a config whose mappers are "
                f"cascade_rpn_d2.data.DatasetMapper, but that of dataloader.{part} is "
                f"{getattr(target, '__name__', target)}."
            )


def read_alike(config: DictConfig, other: DictConfig) -> DictConfig:
    """Have one config read its test images as another one does, as far as that says how.

    Args:
        config: changed in place.
        other: whose options are taken over.

    Returns:
        ``config``.
    """
    for key in READING:
        value = OmegaConf.select(other, f"dataloader.test.mapper.{key}")
        if value is not None:
            OmegaConf.update(config, f"dataloader.test.mapper.{key}", value, force_add=True)
    return config
